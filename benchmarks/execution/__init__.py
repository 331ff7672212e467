"""How fast and how sure execution is."""
