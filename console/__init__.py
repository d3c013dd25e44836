"""All pages for operators, by subject."""
