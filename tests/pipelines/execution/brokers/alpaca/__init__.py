"""Tests of the broker at Alpaca."""
