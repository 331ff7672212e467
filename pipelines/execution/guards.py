"""Guards: rules of risk over time and over lists of orders, which become the conditions that the compiled gate reads.

Pure: the time, the orders and every fact are handed in. A fact that is missing, or not a number, counts as a rule that is broken.
Nothing is decided here: a guard says that a symbol, or the account, may only reduce, and by which rule; `risk.gate` obeys.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.decision import Rule, TradingState
from domain.panel import FloatArray
from domain.params import Risk
from pipelines.execution.conditions import FOUND, LIMIT, RULE, SENT, STATE, Conditions
from pipelines.execution.verdicts import CodeArray

NANOSECONDS = 1_000_000_000


class Sent(NamedTuple):
    """One order that was sent, whatever became of it."""

    at_ns: int
    """By the same monotonic clock as the `now_ns` that it is compared with."""
    symbol: str
    quantity: float
    """Signed."""


class Working(NamedTuple):
    """One order that may still fill: open, pending, or of unknown outcome."""

    symbol: int
    quantity: float
    """Signed, what is not booked as filled yet; in full where the outcome is unknown."""
    price: float
    """Its limit, NaN where it has none."""
    reference: float
    """Price at which its exposure counts where it has no limit: the mark when it was judged."""
    quantity_becoming: float = 0.0
    """Signed quantity of a replacement that is under way, 0 for none: either may stand, so that the larger counts."""
    price_becoming: float = math.nan
    """The replacement's limit, NaN where it has none."""

    @property
    def most(self) -> float:
        """The larger quantity of what stands and what may come to stand, signed."""
        return self.quantity_becoming if abs(self.quantity_becoming) > abs(self.quantity) else self.quantity

    @property
    def prices(self) -> tuple[float, ...]:
        """The limits that it may have."""
        return (self.price, self.price_becoming) if self.quantity_becoming else (self.price,)


@dataclass(frozen=True)
class Facts:
    """What is known of the world at a decision; NaN where it is not known."""

    open: npt.NDArray[np.bool_]
    """[S] the symbol's session is one in which the trader may open positions."""
    tradable: npt.NDArray[np.bool_]
    """[S] neither halted nor paused, active, and tradable at the broker."""
    symbol_age_bars: FloatArray
    """[S] bars that the calendar has expected since the symbol's newest, by event time."""
    feed_silence_s: float
    """Seconds since the feed that has been quiet for the longest said anything."""
    account_age_s: float
    """Seconds since positions and orders were last compared with the broker's."""
    clock_offset_s: float
    """Seconds by which this clock is ahead of the broker's."""
    loop_lag_s: float
    """Seconds by which the trader runs late."""
    model_valid: bool
    """The model is verified, not expired, and within its bounds: `serving` and `watch` know."""


class Guard(NamedTuple):
    """A rule on one number of the whole account: the name of the fact, and of the limit in `Risk`."""

    rule: Rule
    fact: str
    limit: str


#: The first that is broken speaks.
ACCOUNT = (
    Guard(Rule.CLOCK_OFFSET, "clock_offset_s", "clock_offset_s_max"),
    Guard(Rule.STALE_ACCOUNT, "account_age_s", "account_age_s_max"),
    Guard(Rule.STALE_FEED, "feed_silence_s", "feed_silence_s_max"),
    Guard(Rule.LOOP_LAG, "loop_lag_s", "loop_lag_s_max"),
)


def watch(
    rules: Risk, facts: Facts, sent: Sequence[Sent], now_ns: int, places: Mapping[str, int], conditions: Conditions
) -> None:  # fmt: skip
    """Write to `conditions` what the rules over time say: who may only reduce, by which rule, and how many orders were sent.

    `sent` holds the account's orders of the two windows of `rules` at least, older ones do no harm; `places` are those of the
    symbols of the market that is judged. Raises ValueError where the arrays of `facts` are not of one number a symbol.
    """
    _demand(rules, facts, conditions)
    conditions.account[SENT] = len(_within(sent, now_ns, rules.orders_window_s))
    conditions.blocked[:], conditions.found[:], conditions.limit[:] = Rule.NONE, 0.0, 0.0
    # Later blocks speak over earlier ones.
    _throttle(rules, sent, now_ns, places, conditions)
    _block(
        ~(facts.symbol_age_bars <= rules.symbol_age_bars_max),
        Rule.STALE_SYMBOL,
        facts.symbol_age_bars,
        rules.symbol_age_bars_max,
        conditions,
    )
    _block(~facts.tradable, Rule.TRADING_HALT, facts.tradable, 1.0, conditions)
    _block(~facts.open, Rule.SESSION, facts.open, 1.0, conditions)


def _demand(rules: Risk, facts: Facts, conditions: Conditions) -> None:
    """Let the whole account only reduce while a fact is beyond its limit or the model is not valid."""
    state, rule, found, most = TradingState.ACTIVE, Rule.NONE, 0.0, 0.0
    broken = [guard for guard in ACCOUNT if not abs(getattr(facts, guard.fact)) <= getattr(rules, guard.limit)]
    if broken:
        state, rule = TradingState.REDUCING, broken[0].rule
        found, most = abs(getattr(facts, broken[0].fact)), getattr(rules, broken[0].limit)
    elif not facts.model_valid:
        state, rule, found, most = TradingState.REDUCING, Rule.MODEL, 0.0, 1.0
    conditions.standing[[STATE, RULE]] = state, rule
    conditions.account[[FOUND, LIMIT]] = found, most


def _within(sent: Sequence[Sent], now_ns: int, window_s: float) -> list[Sent]:
    """Return the orders of the window that ends now; one that seems to come from later counts too."""
    since_ns = now_ns - window_s * NANOSECONDS
    return [each for each in sent if each.at_ns > since_ns]


def _throttle(rules: Risk, sent: Sequence[Sent], now_ns: int, places: Mapping[str, int], conditions: Conditions) -> None:
    """Block the symbols of which one more order like the newest ones would be one too many."""
    recent = _within(sent, now_ns, rules.repeats_window_s)
    for (symbol, _), count in Counter([each[1:] for each in recent]).items():
        if count + 1 > rules.repeats_max and (place := places.get(symbol)) is not None:
            conditions.blocked[place] = Rule.REPEATED_ORDER
            conditions.found[place], conditions.limit[place] = count + 1, rules.repeats_max


def _block(broken: npt.NDArray[np.bool_], rule: Rule, found: npt.NDArray[np.generic], limit: float, conditions: Conditions) -> None:
    """Let the symbols of which `broken` is true only reduce."""
    if broken.shape != conditions.blocked.shape:
        raise ValueError(f"{rule.name.lower()} needs one fact for each of {len(conditions.blocked)} symbols, found {broken.shape}")
    conditions.blocked[broken] = rule
    conditions.found[broken], conditions.limit[broken] = found[broken], limit


def list_working(orders: Iterable[Working], conditions: Conditions) -> None:
    """Write to `conditions` what orders that may still fill could do at worst."""
    for quantities in (conditions.buying, conditions.selling):
        quantities[:] = 0.0
    conditions.working_price[:] = -math.inf
    conditions.highest_buy[:], conditions.lowest_sell[:] = -math.inf, math.inf
    for order in orders:
        _add(order, conditions)
    conditions.working_price[~(conditions.working_price > 0.0)] = math.nan


def _add(order: Working, conditions: Conditions) -> None:
    """Add one working order; a limit that is missing makes the extreme of its side missing, and meets every order."""
    s, buys = order.symbol, not order.most < 0.0
    (conditions.buying if buys else conditions.selling)[s] += abs(order.most)
    known = [price for price in (*order.prices, order.reference) if not math.isnan(price)]
    conditions.working_price[s] = max([conditions.working_price[s], *known])
    for price in order.prices:
        if buys:
            conditions.highest_buy[s] = np.maximum(conditions.highest_buy[s], price)
        else:
            conditions.lowest_sell[s] = np.minimum(conditions.lowest_sell[s], price)


def sectors(codes: FloatArray) -> CodeArray:
    """Return `codes` [S], one number a sector and NaN where it is unknown, as `Conditions.sector` counts them."""
    known = ~np.isnan(codes)
    counted = np.full(len(codes), -1, dtype=np.int64)
    counted[known] = np.unique(codes[known], return_inverse=True)[1]
    return counted
