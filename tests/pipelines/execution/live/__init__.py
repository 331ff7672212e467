"""Tests of the core in real time: real processes, the genuine client, the exchange."""
