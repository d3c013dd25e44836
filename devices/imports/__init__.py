"""Lists of devices as CSV: one engine, and what its doors (browser, command, HTTP) need."""
