"""Accounts: what an account was opened on, which whoever goes on with it must agree to."""

from pathlib import Path
from typing import Any

from domain.error import ConfigurationError
from domain.market import Market
from domain.params import Params
from pipelines.journal import Journal

JOURNAL = "journal.db"
#: Sections of params.yaml that a running account keeps.
FIXED = ("decisions", "risk", "orders", "fills")


def terms(market: Market, params: Params, symbols: tuple[str, ...], capital: float | str) -> dict[str, Any]:
    """Return what an account is opened on; `capital` as text where every digit of it counts."""
    told = {key: str(getattr(market, key)) for key in ("name", "calendar", "timeframe", "cost", "instrument")}
    return {**told, "symbols": list(symbols), "capital": capital, "params": params.digest(*FIXED)}


def opened_on(journal: Journal) -> dict[str, Any] | None:
    """Return what the account was opened on, nothing before it is."""
    found = next(journal.records("session"), None)
    return None if found is None else found.payload


def agree(home: Path, opened: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise ConfigurationError where an account was opened on other terms than those asked for."""
    differs = sorted(key for key in asked if opened.get(key) != asked[key])
    if differs:
        raise ConfigurationError(f"{home} holds an account with other terms ({', '.join(differs)}): name another folder")
