"""How fast is it? `make bench`, or `python -m benchmarks --help`."""
