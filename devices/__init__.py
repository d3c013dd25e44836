"""Devices, the credentials they authenticate with, and what they send."""
