"""The management API: what programs may do, and the tokens that let them in."""
