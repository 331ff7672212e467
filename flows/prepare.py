"""Prepare: what a source has and the store has not, through quality into the store, with Data Docs to look at."""

from datetime import datetime

from domain.error import NoData
from domain.params import Params
from flows.home import Home
from pipelines.data import ingest
from pipelines.store import Store


def prepare(market: str, until: datetime | None, home: Home, params: Params) -> dict[str, object]:
    """Ask the market's source for what the store lacks and return what was read, kept, flagged and quarantined, as JSON values.

    Files bring nothing by themselves: `nightshift import` is how they come in, and this only tells what is stored. Raises NoData
    while that is nothing.
    """
    chosen, store = params.market(market), Store(home.store)
    if chosen.source == "files":
        if said := ingest.lacking(chosen, store):
            raise NoData(said)
        bars = store.bars(chosen.name, chosen.timeframe, symbols=chosen.symbols or None, known_at=until)
        return {"source": "files", "stored": bars.height, "symbols": bars["symbol"].n_unique(), "version": store.version("bars")}
    told = ingest.told(ingest.from_source(chosen, params, store, None, until, docs=home.docs / market))
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}
