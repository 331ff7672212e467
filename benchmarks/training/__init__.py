"""Fitting models beside the peers."""
