"""Accounts: what an account was opened on, which whoever goes on with it must agree to, and the settings that may change."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from domain.error import ConfigurationError
from domain.market import Market
from domain.params import Params
from pipelines.journal import Journal, Stored

JOURNAL = "journal.db"
#: Sections of params.yaml that decide what an account does with a forecast.
SETTINGS = ("decisions", "risk", "orders")
#: Of a market, what an account of it keeps.
IDENTITY = ("calendar", "timeframe", "cost", "instrument")


def terms(traded: Iterable[tuple[Market, Sequence[str]]], capital: float | str) -> dict[str, Any]:
    """Return what an account of these markets and symbols is opened on; `capital` as text where every digit of it counts."""
    markets = {
        market.name: {**{key: str(getattr(market, key)) for key in IDENTITY}, "symbols": list(symbols)}
        for market, symbols in traded
    }  # fmt: skip
    return {"capital": capital, "markets": markets}


def opened_on(journal: Journal) -> dict[str, Any] | None:
    """Return what the account was opened on, nothing before it is."""
    found = next(journal.records("session"), None)
    return None if found is None else found.payload


def symbols(opened: dict[str, Any], market: str, home: Path) -> tuple[str, ...]:
    """Return the symbols of a market that an account trades; raise ConfigurationError where it does not trade the market."""
    if market not in opened.get("markets", {}):
        raise ConfigurationError(f"{home} holds an account that does not trade '{market}': name another folder, or move it away")
    return tuple(opened["markets"][market]["symbols"])


def agree(home: Path, opened: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise ConfigurationError where an account was opened on other terms than those asked for."""
    there, here = _flat(opened), _flat(asked)
    differs = sorted(key for key in here if there.get(key) != here[key])
    if differs:
        raise ConfigurationError(f"{home} holds an account with other terms ({', '.join(differs)}): name another folder")


def settings(params: Params) -> dict[str, Any]:
    """Return the settings by which a market of an account is traded."""
    return params.model_dump(mode="json", include=set(SETTINGS))


def changed(journal: Journal, market: str, now: dict[str, Any]) -> dict[str, list[Any]]:
    """Return which settings of a market are others now than the journal says, each as [before, now]."""
    opened = opened_on(journal) or {}
    before = opened.get("settings", {}).get(market, {})
    for stored in of(market, journal.records("settings")):
        before = stored.payload["settings"]
    there, here = _flat(before), _flat(now)
    return {key: [there.get(key), here.get(key)] for key in sorted(there | here) if there.get(key) != here.get(key)}


def of(market: str, records: Iterable[Stored]) -> Iterator[Stored]:
    """Yield the records that are of one market; those that name none are of an account that trades no other."""
    return (stored for stored in records if stored.payload.get("market", market) == market)


def _flat(told: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values by their paths, such as `risk.gross_max`."""
    found: dict[str, Any] = {}
    for key, value in told.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return found
