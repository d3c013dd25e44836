"""Running an installation: heartbeats, health, metrics, ports."""
