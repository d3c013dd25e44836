"""Every page for operators, grouped by what it is about."""
