"""Families beside each other and beside their peers."""
