"""Device profiles: which devices may provision, how, and with which keys."""
