"""The operator's pages that show things of several apps: wizard, profile and device pages, dashboard."""
