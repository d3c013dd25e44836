"""The core: what happens when a device shows its profile's key and secret."""
