"""Alpaca: the core's requests carried out by the genuine client, and its answers as the core's events."""
