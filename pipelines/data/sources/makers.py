"""Makers: which source a market's word in params.yaml stands for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from domain.clock import Clock
from domain.error import ConfigurationError
from domain.market import Market
from domain.params import Params
from pipelines.data.sources.contract import Source

Maker = Callable[[Params, Clock, Path | None], Source]


def make(market: Market, params: Params, clock: Clock, answers: Path | None = None) -> Source:
    """Return the market's source; raise ConfigurationError for a market that is fed from files, which can be asked nothing.

    `answers` is a folder where a source may keep what it was told of days long closed; None keeps nothing.
    """
    if market.source not in MAKERS:
        raise ConfigurationError(
            f"market '{market.name}' has no source to ask, it is fed from {market.source}: "
            f"nightshift import PATH --market {market.name}"
        )
    return MAKERS[market.source](params, clock, answers)


def _simulated(params: Params, _: Clock, __: Path | None) -> Source:
    from pipelines.data.sources.simulated import Simulated

    return Simulated(params.sources.simulated, params.store.publication_delay_s)


def _yahoo(params: Params, clock: Clock, answers: Path | None) -> Source:
    from pipelines.data.sources.yahoo import Yahoo

    cache = None if answers is None else answers / "yahoo"
    return Yahoo(params.sources.yahoo, cache=cache, publication_delay_s=params.store.publication_delay_s, clock=clock)


def _alpaca(params: Params, clock: Clock, _: Path | None) -> Source:
    from pipelines.data.sources.alpaca import Alpaca

    return Alpaca(params.sources.alpaca, publication_delay_s=params.store.publication_delay_s, clock=clock)


def _bloomberg(params: Params, clock: Clock, _: Path | None) -> Source:
    from pipelines.data.sources.bloomberg import Bloomberg

    return Bloomberg(params.sources.bloomberg, publication_delay_s=params.store.publication_delay_s, clock=clock)


MAKERS: Mapping[str, Maker] = {"simulated": _simulated, "yahoo": _yahoo, "alpaca": _alpaca, "bloomberg": _bloomberg}
