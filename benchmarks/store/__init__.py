"""What the store is measured by."""
