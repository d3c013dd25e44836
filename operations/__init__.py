"""What runs: heartbeats, health, metrics, ports."""
