"""Tools for all packages that know nothing about the product."""
