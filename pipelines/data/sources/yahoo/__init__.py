"""Yahoo: bars, dividends, splits and capital gains of Yahoo Finance, through yfinance, as they were printed."""

from pipelines.data.sources.yahoo.source import Yahoo

__all__ = ["Yahoo"]
