"""The core: what happens when a device presents its profile's key and secret."""
