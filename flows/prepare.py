"""Prepare: what a source has and the store has not, through quality into the store, with Data Docs to look at."""

from datetime import UTC, date, datetime, time

from domain.error import NoData
from domain.params import Params
from flows.home import Home
from pipelines.data import ingest
from pipelines.store import Store


def prepare(market: str, until: datetime | None, home: Home, params: Params, since: datetime | None = None) -> dict[str, object]:
    """Ask the market's source for what the store lacks and return what was read, kept, flagged and quarantined, as JSON values.

    With `since` everything from then on that is not stored is asked for, also before a symbol's first bar. Files bring nothing by
    themselves: `nightshift import` is how they come in, and this only tells what is stored. Raises NoData while that is nothing.
    """
    chosen, store = params.market(market), Store(home.store)
    if chosen.source == "files":
        if said := ingest.lacking(chosen, store):
            raise NoData(said)
        stored = ingest.at_rest(chosen)
        bars = store.count(stored.name, stored.timeframe)
        symbols = len(store.symbols(stored.name, stored.timeframe))
        return {"source": "files", "stored": bars, "symbols": symbols, "version": store.version("bars")}
    told = ingest.told(ingest.from_source(chosen, params, store, since, until, docs=home.docs / market, answers=home.answers))
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}


def first_moment(since: date | None) -> datetime | None:
    """Return the first moment of a day, in UTC."""
    return None if since is None else datetime.combine(since, time.min, UTC)
