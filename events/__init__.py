"""The event log: what others must learn about, written in the transaction that made it true."""
