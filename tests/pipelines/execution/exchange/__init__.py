"""Tests of the exchange behind its protocols."""
