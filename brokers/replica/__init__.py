"""What a Mosquitto with our plugin asks: who may connect, as digests, and what has changed since.

The contract is deploy/mosquitto/plugin/FEED.md.
"""
