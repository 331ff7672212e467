"""Books: accounts that trade the same forecasts in different ways, for the benchmarks of the decision layer.

Every way is what a bar wants of every symbol before any trade is weighed: `aim` [T, S], the position as a share of a full one, and
`full` [T, S], the weight of a full one. None depends on what is held, so a way is made for all rows at once, of the functions that
the trader itself calls where it uses the house's convictions or sizes. How far a book moves toward it is `decisions.change`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from domain.compiled import money_routine
from domain.forecast import MEDIAN
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from models import metrics
from models.splits import Fold
from pipelines.execution import decisions, fills, limits, risk
from pipelines.execution.conditions import Conditions
from pipelines.execution.decisions import Targets
from pipelines.execution.limits import Limits
from pipelines.execution.outcome import Outcome
from pipelines.execution.verdicts import Verdicts

#: A gate that lets everything pass, for books that are scaled afterwards.
OPEN = 1e9
#: Rounds in which a book's scale is fitted: impact and bands make its gross exposure nearly, not quite, proportional to it.
FITTED = 3


@dataclass(frozen=True)
class World:
    """A market, what was forecast of it out of sample, and what trading it costs."""

    market: Market
    params: Params
    panel: Panel
    forecasts: FloatArray
    """[T, S, Q]; NaN before the first fold's test rows."""
    scale: FloatArray
    """[T, S] one-bar volatility."""
    forward: FloatArray
    """[T, S] what came of it: the log return that an order of the row can earn."""
    folds: tuple[Fold, ...]

    @property
    def first(self) -> int:
        """Return the first row with a forecast."""
        return int(np.flatnonzero(np.isfinite(self.forecasts).any(axis=(1, 2)))[0])

    def at(self, **cost: float) -> "World":
        """Return the same world where trading costs something else."""
        return replace(self, market=replace(self.market, cost=self.market.cost.model_copy(update=cost)))

    def decided(self, **chosen: float) -> "World":
        """Return the same world, traded by other settings of `decisions`."""
        return replace(self, params=self.params.model_copy(update={"decisions": self.params.decisions.model_copy(update=chosen)}))

    def limited(self, **chosen: float) -> "World":
        """Return the same world under other limits of the gate."""
        return replace(self, params=self.params.model_copy(update={"risk": self.params.risk.model_copy(update=chosen)}))

    @property
    def free(self) -> "World":
        """Return the same world without limits on weights, gross and net."""
        return self.limited(symbol_weight_max=OPEN, gross_max=OPEN, net_max=OPEN)


class Way(NamedTuple):
    """What every bar wants, before any trade is weighed."""

    aim: FloatArray
    """[T, S] share of a full position; NaN without a forecast."""
    full: FloatArray
    """[T, S] weight of a full position."""
    sigma: FloatArray
    """[T, S] the forecast's volatility over the horizon."""


@dataclass(frozen=True)
class Account:
    """What came of a book, bar by bar from the first forecast on."""

    net: FloatArray
    """[T] simple returns after all costs."""
    cost: FloatArray
    """[T] what was paid in each bar, a fraction of the equity before it."""
    traded: FloatArray
    """[T] notional, likewise."""
    gross: FloatArray
    """[T] gross exposure over equity."""

    @property
    def before(self) -> FloatArray:
        """Return [T] returns before costs: of the same fills, had each been free."""
        return self.net + self.cost


def ranks(world: World) -> FloatArray:
    """Return [T, S] the naive aim: a row's ranks of the median forecast, evenly from -1 to 1, or 0 to 1 where none can be short."""
    median = world.forecasts[..., MEDIAN]
    known = np.isfinite(median) & (world.panel.close > 0.0) & (world.scale > 0.0)
    count = known.sum(axis=1, keepdims=True)
    spread = 2.0 * (metrics.row_ranks(median, known) - 0.5) / np.maximum(count, 1) - 1.0
    aim: FloatArray = spread if world.market.instrument.shortable else np.maximum(spread, 0.0)
    return aim


def convictions(world: World) -> tuple[FloatArray, FloatArray]:
    """Return the house's convictions and the forecasts' volatilities, both [T, S]."""
    settings = decisions.settings(world.market, world.params)
    aim, sigma, row = np.empty_like(world.scale), np.empty_like(world.scale), Targets.blank(world.scale.shape[1])
    for t in range(len(aim)):
        decisions.convictions(settings, world.forecasts[t], world.panel.close[t], world.scale[t], row)
        aim[t], sigma[t] = row.aim, row.sigma
    return aim, sigma


def equal_notional(aim: FloatArray, gross: float = 1.0) -> FloatArray:
    """Return [T, S] the same weight of a full position in every symbol, such that a row's positions add up to `gross`."""
    total = np.nansum(np.abs(aim), axis=1, keepdims=True)
    return np.where(np.isnan(aim), 0.0, gross / np.where(total > 0.0, total, np.inf))


class Sized(NamedTuple):
    """The house's sizes, and what they were made of."""

    full: FloatArray
    """[T, S] weight of a full position."""
    rho: FloatArray
    """[T] average correlation."""
    bias: FloatArray
    """[T] squared returns of the books aimed at over the variance that one correlation claims."""


def sized(world: World, aim: FloatArray) -> Sized:
    """Return how the house sizes some aims [T, S], from the first forecast on."""
    settings, symbols = decisions.settings(world.market, world.params), aim.shape[1]
    found = Sized(np.zeros_like(aim), np.full(len(aim), np.nan), np.ones(len(aim)))
    row, state = Targets.blank(symbols), decisions.State.blank(symbols)
    for t in range(world.first, len(aim)):
        row.aim[:], active = aim[t], int((~np.isnan(aim[t])).sum())
        found.rho[t] = decisions.observe(state, world.panel.close[t], world.scale[t])
        found.bias[t] = state.bias[0]
        decisions.size(settings, world.scale[t], active, found.rho[t], found.bias[t], row)
        decisions.remember(state, world.scale[t], row)
        found.full[t] = row.full
    return found


class Log(NamedTuple):
    """Room for an account: columns of length T."""

    equity: FloatArray
    gross: FloatArray
    cost: FloatArray
    traded: FloatArray


class Desk(NamedTuple):
    """A book, the exchange that it trades on, and the rules it goes by."""

    settings: decisions.Settings
    limits: Limits
    gated: bool
    venue: fills.Venue
    book: fills.Book
    gate: risk.State
    conditions: Conditions
    row: Targets
    verdicts: Verdicts
    orders: FloatArray
    """[S] of the last close, for the next open."""

    @classmethod
    def opened(cls, world: World, *, gated: bool) -> Self:
        """Return a desk with nothing but cash."""
        market, params, symbols = world.market, world.params, world.scale.shape[1]
        return cls(
            decisions.settings(market, params),
            limits.of(market, params),
            gated,
            fills.venue(market, params),
            fills.Book.opened(symbols, params.fills.capital),
            risk.State.blank(symbols),
            Conditions.blank(symbols),
            Targets.blank(symbols),
            Verdicts.blank(symbols),
            np.zeros(symbols),
        )


class Bars(NamedTuple):
    """What a desk sees of a market, [T, S] each."""

    open: FloatArray
    close: FloatArray
    volume: FloatArray
    scale: FloatArray


#: What is wanted, given the row and the weights held at its close: aims [S].
Wanted = Callable[[int, FloatArray], FloatArray]


def trade(world: World, way: Way, *, gated: bool = False, wanted: Wanted | None = None) -> Account:
    """Trade a way from the first forecast on, with the settings of `decisions` for band and rate, on the paper exchange.

    Without the gate an order is the change that is wanted, of any size. `wanted`, where given, names the aims of each row instead.
    """
    first, bars = world.first, world.panel.bars - world.first
    log, desk = Log._make(np.zeros((4, bars))), Desk.opened(world, gated=gated)
    seen = Bars(*(part[first:] for part in (world.panel.open, world.panel.close, world.panel.volume, world.scale)))
    ours = Way(*(part[first:].copy() for part in way))
    if wanted is None:
        _drive(desk, ours, seen, log)
    else:
        for t in range(bars):
            _fill(desk, seen, t, log)
            held = np.nan_to_num(desk.book.quantity * desk.book.mark) / log.equity[t]
            ours.aim[t] = wanted(first + t, held)
            _decide(desk, ours, seen, t, log.equity[t])
    before = np.append(world.params.fills.capital, log.equity[:-1])
    return Account(log.equity / before - 1.0, log.cost / before, log.traded / before, log.gross / log.equity)


def fitted(world: World, way: Way, gross: float) -> Account:
    """Trade a way at the scale at which its gross exposure averages `gross`: books of one size can be compared in money."""
    lever, account = 1.0, trade(world, way)
    for _ in range(FITTED):
        found = float(account.gross.mean())
        lever *= gross / found if found > 0.0 else 1.0
        account = trade(world, way._replace(full=way.full * lever))
    return account


def of_outcome(outcome: Outcome) -> Account:
    """Return the account of a simulation by the trader's own loop."""
    before, filled = np.append(outcome.capital, outcome.equity[:-1]), outcome.filled
    cost, traded = outcome.curve.charge.copy(), np.zeros(len(before))
    np.add.at(cost, filled.row, filled.fee + filled.quantity * (filled.price - filled.opened))
    np.add.at(traded, filled.row, np.abs(filled.quantity * filled.price))
    return Account(
        outcome.equity / before - 1.0, cost / before, traded / before, outcome.curve.gross / outcome.equity
    )  # fmt: skip


def joined(accounts: Sequence[Account], stretches: Sequence[slice]) -> Account:
    """Return the account that each of several is in its stretch of rows."""
    parts = list(zip(accounts, stretches, strict=True))
    return Account(*(np.concatenate([getattr(each, name)[rows] for each, rows in parts]) for name in Account.__dataclass_fields__))


@money_routine
def _drive(desk: Desk, way: Way, bars: Bars, log: Log) -> None:
    """Live through all rows as `simulate.drive` does, wanting what `way` says."""
    for t in range(len(bars.open)):
        _fill(desk, bars, t, log)
        _decide(desk, way, bars, t, log.equity[t])


@money_routine
def _fill(desk: Desk, bars: Bars, t: int, log: Log) -> None:
    """Fill the last bar's orders, mark to this one's close and note what that came to."""
    done = fills.blank(bars.open.shape[1])
    charge, equity, gross = fills.step(
        desk.venue, desk.orders, bars.open[t], bars.close[t], bars.volume[t], bars.scale[max(t - 1, 0)], desk.book, done
    )
    log.equity[t], log.gross[t], log.cost[t] = equity, gross, charge
    for s in range(len(desk.orders)):
        if done.quantity[s] != 0.0:
            log.cost[t] += done.fee[s] + done.quantity[s] * (done.price[s] - bars.open[t, s])
            log.traded[t] += abs(done.quantity[s] * done.price[s])


@money_routine
def _decide(desk: Desk, way: Way, bars: Bars, t: int, equity: float) -> None:
    """Decide how far to move toward what is wanted, and what the gate leaves of it."""
    row, held = desk.row, desk.book.quantity
    for s in range(len(desk.orders)):
        row.aim[s], row.full[s], row.sigma[s], row.quantity[s] = way.aim[t, s], way.full[t, s], way.sigma[t, s], held[s]
        if not np.isnan(row.aim[s]) and equity > 0.0 and row.full[s] > 0.0:
            decisions.change(desk.settings, s, bars.close[t, s], bars.volume[t, s], bars.scale[t, s], held[s], equity, row)
        desk.orders[s] = row.quantity[s] - held[s]
    if desk.gated:
        risk.step(
            desk.limits, row.quantity, row.aim, bars.close[t], bars.volume[t], desk.book, equity, float(t), desk.conditions,
            desk.gate, desk.verdicts,
        )  # fmt: skip
        desk.orders[:] = desk.verdicts.order
