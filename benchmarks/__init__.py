"""Claims and the scripts that measure them; each result lies beside its script."""
