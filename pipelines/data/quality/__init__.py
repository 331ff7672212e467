"""Quality: what is wrong with incoming bars, found by rule, never repaired."""

from pipelines.data.quality.inspection import Inspection, inspect

__all__ = ["Inspection", "inspect"]
