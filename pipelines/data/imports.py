"""Imports: what a person's files hold, into the tables where it belongs.

Corporate actions and listings go into tables of their own, through their suites of rules. Trades and quotes go into theirs, and the
bars that they make go the way of all bars, through quality.
"""

from pathlib import Path

import polars as pl

from domain.market import Market
from domain.params import Params
from pipelines.data import ingest, quality, sampling
from pipelines.data.sources import files
from pipelines.data.sources.files import events, ticks
from pipelines.data.sources.files.ticks import Ticks
from pipelines.store import Store


def bring(path: Path, market: Market, params: Params, store: Store, docs: Path) -> dict[str, object]:
    """Store what a file or folder holds and return what a person is told: rows by table, and what became of bars.

    Giving the same files again changes nothing. Raises UnreadableFile, DataError, NoData, ResourceError, one sentence each.
    """
    delay, market = params.store.publication_delay_s, ingest.at_rest(market)
    if told := events.read(path, market):
        for table, rows in told.items():
            quality.keep(table, rows, market, params.quality, store, source=path.name)
        return {table: len(rows) for table, rows in told.items()}
    found = ticks.read(path, market, delay)
    frame = files.read(path, market, delay) if found is None else _sampled(found, market, params, store, path.name)
    kept: dict[str, object] = {} if found is None else {"trades": len(found.trades), "quotes": len(found.quotes)}
    if frame.is_empty() and found is not None:
        return {**kept, "rows": 0}
    return {**ingest.told(ingest.ingest(frame, market, params, store, source=path.name, docs=docs)), **kept}


def _sampled(found: Ticks, market: Market, params: Params, store: Store, source: str) -> pl.DataFrame:
    """Store ticks, quotes first: trades are judged by them; return the bars that they fill."""
    for table, rows in (("quotes", found.quotes), ("trades", found.trades)):
        quality.keep(table, rows, market, params.quality, store, source=source)
    return sampling.bars(found.trades, market, found.quotes)
