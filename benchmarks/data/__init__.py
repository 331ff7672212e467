"""What reading stored data is measured by."""
