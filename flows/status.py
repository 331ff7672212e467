"""Status: what stands where, read through the doors; nothing here changes anything."""

import importlib.metadata
import shutil
import sys
from pathlib import Path
from typing import Any

from domain import params as parameters
from domain.error import NightshiftError, NoChampion, NoData
from domain.params import Params
from flows import home as homes
from flows import keys, shift
from flows.home import Home
from pipelines import journal as journals
from pipelines.journal import Journal
from pipelines.registry import CHAMPION, Registry
from pipelines.store import Store

DISK_GIB_MIN = 2.0
#: Libraries whose versions the house depends on knowing, with the reason.
WATCHED = ("numpy", "polars", "numba", "deltalake", "xgboost", "mlflow", "prefect", "dvc", "great-expectations")


def markets(home: Home, params: Params) -> list[dict[str, Any]]:
    """Return a row a market: symbols, bars and newest close in the store, and the version that trades it."""
    return [_market(home, params, name) for name in params.markets]


def _market(home: Home, params: Params, name: str) -> dict[str, Any]:
    market = params.market(name)
    row: dict[str, Any] = {"market": name, "timeframe": market.timeframe, "source": market.source}
    store = Store(home.store)
    opened = store.opened(name, market.timeframe)
    row |= {"symbols": opened["symbol"].n_unique(), "bars": opened.height, "newest": _newest(store, name, market.timeframe)}
    return row | {"champion": _champion(home, name), "night": _night(home, name)}


def _night(home: Home, market: str) -> str | None:
    """Return where a night is that is at work or was cut off, None where the last one ended as it should."""
    note = shift.standing(home, market)
    if note is None:
        return None
    return f"{note.action or 'not planned yet'}, begun {note.began}, in {note.under_way or 'no step'}"


def _newest(store: Store, market: str, timeframe: str) -> str | None:
    """Return the newest close in the store, of which only the newest bars are read."""
    opened = store.newest(market, timeframe)
    if opened is None:
        return None
    closed = store.bars(market, timeframe, since=opened)["event_at"]
    return str(closed.sort().dt.strftime("%Y-%m-%dT%H:%M:%SZ")[-1])


def _champion(home: Home, market: str) -> int | None:
    if not home.mlflow.exists():
        return None
    try:
        return Registry(home.mlflow).version(market, CHAMPION).number
    except NoChampion:
        return None


def proofs(place: Path) -> list[dict[str, Any]]:
    """Verify every journal in `place`, a file or a folder; raise JournalBroken at the first broken one, NoData without any."""
    found = [place] if place.is_file() else sorted(place.rglob("journal.db"))
    if not found:
        nothing = "there is none" if place.exists() else "there is no such place"
        raise NoData(f"journals were to be verified in {place}, but {nothing}: replay or trade first, or name where one lies")
    return [_proof(path) for path in found]


def _proof(path: Path) -> dict[str, Any]:
    proof = journals.verify(path)
    with Journal.read_only(path) as journal:
        fills = sum(1 for _ in journal.records("fill"))
    return {
        "journal": str(path),
        "records": proof.head.sequence,
        "fills": fills,
        "anchored": proof.anchored,
        "sealed": proof.sealed,
        "head": proof.head.hash,
    }


def findings(home: Home) -> list[dict[str, Any]]:
    """Return a row a check: what was looked at, what was found, and whether it is well."""
    return [_parameters(), _writable(home), _disk(home), signing(home), _python(), *(_library(name) for name in WATCHED)]


def signing(home: Home) -> dict[str, Any]:
    """Return which key signs what is promoted here; a development key is named as such."""
    try:
        return _finding("signing key", keys.described(home), well=True)
    except NightshiftError as problem:
        return _finding("signing key", str(problem), well=False)


def _finding(check: str, found: object, well: bool) -> dict[str, Any]:
    return {"check": check, "found": found, "well": well}


def _parameters() -> dict[str, Any]:
    try:
        loaded = parameters.load(homes.parameters())
    except NightshiftError as problem:
        return _finding("parameters", str(problem), well=False)
    return _finding("parameters", f"profile {loaded.profile}, {len(loaded.markets)} markets", well=True)


def _writable(home: Home) -> dict[str, Any]:
    probe = home.root / ".doctor"
    try:
        home.root.mkdir(parents=True, exist_ok=True)
        probe.write_text("well")
        probe.unlink()
    except OSError as problem:
        return _finding("home", f"{home.root} cannot be written: {problem.strerror}", well=False)
    return _finding("home", str(home.root), well=True)


def _disk(home: Home) -> dict[str, Any]:
    try:
        free = shutil.disk_usage(home.root).free / 2**30
    except OSError as problem:
        return _finding("disk", f"{home.root} could not be asked for its free space: {problem.strerror}", well=False)
    return _finding("disk", f"{free:.1f} GiB free, {DISK_GIB_MIN:.0f} wanted", well=free >= DISK_GIB_MIN)


def _python() -> dict[str, Any]:
    return _finding("python", sys.version.split()[0], well=sys.version_info >= (3, 11, 5))


def _library(name: str) -> dict[str, Any]:
    try:
        return _finding(name, importlib.metadata.version(name), well=True)
    except importlib.metadata.PackageNotFoundError:
        return _finding(name, "missing: run make install", well=False)
