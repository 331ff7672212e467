"""Quality: what is wrong with incoming rows, found by rule, never repaired."""

from pipelines.data.quality.gate import Kept, keep, knowledge
from pipelines.data.quality.inspection import Inspection, Knowledge, inspect

__all__ = ["Inspection", "Kept", "Knowledge", "inspect", "keep", "knowledge"]
