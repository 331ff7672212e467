"""The path from bars to orders: three pipelines that meet at three doors, store, registry and journal."""
