"""Reading params.yaml: profile and market laid over it, every key checked, one sentence for the first fault."""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from domain import market as markets
from domain.error import ConfigurationError, UnknownMarket, UnknownParameter, nearest
from domain.params.whole import STOPS, Params


def load(path: Path, market: str | None = None, profile: str | None = None) -> Params:
    """Read params.yaml, lay the profile and then the market's override over it, and check every key.

    Raises UnknownParameter with the nearest right name, UnknownMarket, or ConfigurationError.
    """
    raw = _read(path)
    profiles = raw.pop("profiles", {})
    name = profile or raw.get("profile")
    if name not in profiles:
        raise ConfigurationError(f"profile '{name}' is not in {path.name}: {nearest(str(name), profiles)}")
    merged = overlay(raw, {**profiles[name], "profile": name})
    if market is not None:
        merged = overlay(merged, _override(merged, market))
    return check(merged)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"parameters were asked from {path}, but there is no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"parameters were asked from {path}, but it cannot be read: {reason}") from None
    except yaml.YAMLError as problem:
        raise ConfigurationError(f"{path.name} is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path.name} must hold sections by name, found {type(raw).__name__}")
    return raw


def _override(merged: dict[str, Any], market: str) -> dict[str, Any]:
    markets = merged.get("markets", {})
    if market not in markets:
        raise UnknownMarket(f"market '{market}' is not in params.yaml: {nearest(market, markets)}")
    override = markets[market].get("override", {})
    for stop in override:
        if stop not in STOPS:
            raise UnknownParameter(f"markets.{market}.override.{stop} is not a parameter: {nearest(stop, STOPS)}")
    return dict(override)


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with every leaf of `top` laid over it; neither is changed."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def check(merged: dict[str, Any]) -> Params:
    """Return typed parameters; the first fault becomes one sentence."""
    try:
        params = Params.model_validate(merged)
    except ValidationError as problem:
        raise _explain(problem) from None
    params.market(params.experiment.market)
    for name, market in params.markets.items():
        markets.check_lengths(name, market.timeframe, market.stored)
    _check_accounts(params)
    return params


def _check_accounts(params: Params) -> None:
    """Raise ConfigurationError for accounts that cannot be: of markets that are not there, or two that the same keys open."""
    for account in params.accounts:
        for market in account.markets:
            params.market(market)
    brokers = [account.broker for account in params.accounts]
    for broker in sorted(set(brokers)):
        if brokers.count(broker) > 1:
            raise ConfigurationError(
                f"accounts names {brokers.count(broker)} accounts at {broker}, and one is all that its keys open: "
                "name the markets of all of them in one"
            )


def _explain(problem: ValidationError) -> ConfigurationError:
    fault = problem.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return ConfigurationError(f"parameter {where}: {fault['msg']} (found {fault.get('input')!r})")
    return UnknownParameter(f"{where} is not a parameter: {nearest(str(fault['loc'][-1]), _known(fault['loc'][:-1]))}")


def _known(path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at `path`, through dictionaries and lists of sections."""
    section: Any = Params
    for part in path:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
        else:
            # A dictionary or a list of sections.
            section = next((each for each in get_args(section) if isinstance(each, type) and issubclass(each, BaseModel)), Params)
    return list(section.model_fields)
