"""Tables: what trades, quotes, headlines, macro series, actions and listings must hold to, a suite of named rules each."""

from pipelines.data.quality.tables.inspection import SUITES, Rows, inspect
from pipelines.data.quality.tables.rule import Around, Rule, Suite

__all__ = ["SUITES", "Around", "Rows", "Rule", "Suite", "inspect"]
