"""A simulated world for the core: virtual time, a market, a broker with a ledger of its own, and everything that goes wrong.

The same seed gives the same world. Nothing here shares code with what books orders in the core.
"""
