"""Lists of devices from CSV: one engine for the browser, the command line and the API."""
