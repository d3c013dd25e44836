"""Reading CSV files: format, records, values."""
