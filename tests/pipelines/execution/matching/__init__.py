"""Tests of the paper exchange."""
