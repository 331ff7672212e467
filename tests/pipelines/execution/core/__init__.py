"""Tests of the trader's core."""
