"""Prepare: what a source has and the store has not, through quality into the store, with Data Docs to look at."""

from dataclasses import asdict
from datetime import datetime, timedelta

from domain.error import NoData
from domain.market import Market
from domain.params import Params
from flows.home import Home
from pipelines.data import ingest
from pipelines.store import Store

#: Asked for again each time, because a source may have corrected its newest bars.
OVERLAP = timedelta(days=7)


def prepare(market: str, until: datetime | None, home: Home, params: Params) -> dict[str, object]:
    """Ask the market's source for what the store lacks and return what was read, kept, flagged and quarantined.

    Files bring nothing by themselves: `nightshift import` is how they come in, and this only tells how much is stored.
    """
    chosen, store = params.market(market), Store(home.store)
    if chosen.source == "files":
        bars = store.bars(chosen.name, chosen.timeframe, known_at=until)
        return {"source": "files", "rows stored": bars.height, "symbols": bars["symbol"].n_unique()}
    ingested = ingest.from_source(chosen, params, store, _since(store, chosen), until, docs=home.docs / market)
    return {"source": chosen.source, **asdict(ingested)}


def _since(store: Store, market: Market) -> datetime | None:
    """Return from when on a source is asked, None for a market that has nothing yet.

    A simulated market is always made as a whole: cut short it would be another one.
    """
    if market.source == "simulated":
        return None
    try:
        newest = store.bars(market.name, market.timeframe)["opened_at"].max()
    except NoData:
        return None
    assert isinstance(newest, datetime)  # noqa: S101  # the column is a time
    return newest - OVERLAP
