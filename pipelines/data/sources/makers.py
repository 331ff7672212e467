"""Makers: which source a market's word in params.yaml stands for."""

from collections.abc import Callable, Mapping

from domain.clock import Clock
from domain.error import ConfigurationError
from domain.market import Market
from domain.params import Params
from pipelines.data.sources.contract import Source

Maker = Callable[[Params, Clock], Source]


def make(market: Market, params: Params, clock: Clock) -> Source:
    """Return the market's source; raise ConfigurationError for a market that is fed from files, which can be asked nothing."""
    if market.source not in MAKERS:
        raise ConfigurationError(
            f"market '{market.name}' has no source to ask, it is fed from {market.source}: "
            f"nightshift import PATH --market {market.name}"
        )
    return MAKERS[market.source](params, clock)


def _simulated(params: Params, _: Clock) -> Source:
    from pipelines.data.sources.simulated import Simulated

    return Simulated(params.sources.simulated, params.store.publication_delay_s)


def _yahoo(params: Params, clock: Clock) -> Source:
    from pipelines.data.sources.yahoo import Yahoo

    return Yahoo(params.sources.yahoo, publication_delay_s=params.store.publication_delay_s, clock=clock)


def _alpaca(params: Params, clock: Clock) -> Source:
    from pipelines.data.sources.alpaca import Alpaca

    return Alpaca(params.sources.alpaca, publication_delay_s=params.store.publication_delay_s, clock=clock)


MAKERS: Mapping[str, Maker] = {"simulated": _simulated, "yahoo": _yahoo, "alpaca": _alpaca}
