"""Device profiles: what kinds of device may provision, how, and with which keys."""
