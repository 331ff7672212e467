"""The feature engine beside its peers."""
