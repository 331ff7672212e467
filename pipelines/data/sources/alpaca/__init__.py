"""Alpaca: bars, ticks, headlines and corporate actions of Alpaca Markets, historical and live, through alpaca-py."""

from pipelines.data.sources.alpaca.access import Access
from pipelines.data.sources.alpaca.source import Alpaca

__all__ = ["Access", "Alpaca"]
