"""Answering beside the peers."""
