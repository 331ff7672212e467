"""Tests of the door of tables."""
