"""Bloomberg: bars, trades, quotes, corporate actions and listings of a terminal, past and live, through blpapi."""

from pipelines.data.sources.bloomberg.source import Bloomberg

__all__ = ["Bloomberg"]
