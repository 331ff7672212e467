"""Simulate: years of decisions, risk and fills in one compiled loop over the functions that the live trader calls."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain import session
from domain.compiled import money
from domain.decision import Outcome as Answer
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params, Sizing
from pipelines.execution import fills, gaps, outcome, risk, serving, trader
from pipelines.execution.conditions import CLOSING
from pipelines.execution.trader import Trader

#: Narrow types for what is not a number of money: most of a simulation's time at full turnover is memory.
CODES = {"row": np.int32, "symbol": np.int32, "outcome": np.int8, "rule": np.int8, "reason": np.int8}


class Log(NamedTuple):
    """Room for everything that a simulation leaves behind; memory that is never written is never taken."""

    curve: outcome.Curve
    ordered: outcome.Ordered
    filled: outcome.Filled

    @classmethod
    def blank(cls, bars: int, symbols: int) -> Self:
        """Return room for the most that can happen."""

        def room(name: str) -> npt.NDArray[np.generic]:
            return np.empty(bars * symbols, dtype=CODES.get(name, np.float64))

        ordered = outcome.Ordered._make(map(room, outcome.Ordered._fields))
        filled = outcome.Filled._make(map(room, outcome.Filled._fields))
        return cls(outcome.Curve(*(np.zeros(bars) for _ in outcome.Curve._fields)), ordered, filled)


def run(
    panel: Panel, forecasts: FloatArray, market: Market, params: Params, *, model_version: str, capital: float | None = None,
    since: np.datetime64 | None = None, scale: FloatArray | None = None, sized: Sequence[tuple[int, Sizing]] = (),
) -> outcome.Outcome:  # fmt: skip
    """Trade `forecasts` [T, S, Q] over the panel and return what came of it.

    `since` is the close from which on trading starts: bars before only warm the scale up. `scale` [T, S] is computed unless given.
    Row t's forecasts become orders at close t, which fill at open t + 1. The last row's orders stay unfilled. `sized` are settings
    that take over from those of params.yaml, each with the first row that is decided by them, in turn.
    """
    sigma = serving.scale(panel) if scale is None else scale
    first = 0 if since is None else int(np.searchsorted(panel.event_at, since))
    rows, cash = panel.rows(first, panel.bars), params.fills.capital if capital is None else capital
    who = Trader.opened(market, params, len(panel.symbols), cash)
    days, held = session.days(market, rows.opened_at).astype(np.float64), gaps.most(market, params.risk, rows.event_at)
    log, venue, ordered, filled = Log.blank(rows.bars, len(panel.symbols)), fills.venue(market, params), 0, 0
    executions = fills.blank(len(panel.symbols))
    for start, stop, sizing in stretches(rows.bars, [(row - first, each) for row, each in sized]):
        who = who.resized(market, params.sized(sizing))
        ordered, filled = drive(
            who, venue, forecasts[first:], rows.open, rows.close, rows.volume, sigma[first:], days, held, executions, log,
            start, stop, ordered, filled,
        )  # fmt: skip
    return outcome.Outcome(
        market, ((0, model_version),), panel.symbols, rows.opened_at, rows.event_at, cash, log.curve,
        outcome.Ordered._make(column[:ordered] for column in log.ordered),
        outcome.Filled._make(column[:filled] for column in log.filled), risk.halted(who.gate),
    )  # fmt: skip


def stretches(bars: int, sized: Sequence[tuple[int, Sizing]]) -> list[tuple[int, int, Sizing | None]]:
    """Return which rows are decided by which settings: first row, row after the last, and None before any took over."""
    turns = [(0, None), *((min(max(row, 0), bars), sizing) for row, sizing in sized), (bars, None)]
    return [(start, stop, sizing) for (start, sizing), (stop, _) in itertools.pairwise(turns)]


@money
def drive(
    who: Trader, venue: fills.Venue, forecasts: FloatArray, opened: FloatArray, close: FloatArray, volume: FloatArray,
    scale: FloatArray, days: FloatArray, held: FloatArray, executions: fills.Executions, log: Log, start: int, stop: int,
    ordered: int, filled: int,
) -> tuple[int, int]:  # fmt: skip
    """Live through the bars from `start` to before `stop`; return how many rows of either log are written by then."""
    for t in range(start, stop):
        known = scale[max(t - 1, 0)]
        orders = who.verdicts.order
        charge, equity, gross = fills.step(venue, orders, opened[t], close[t], volume[t], known, who.book, executions)
        log.curve.equity[t], log.curve.gross[t], log.curve.charge[t] = equity, gross, charge
        filled = note_fills(t, opened[t], executions, log.filled, filled)
        who.conditions.account[CLOSING] = held[t]
        trader.think(who, forecasts[t], close[t], volume[t], scale[t], equity, days[t])
        ordered = note_orders(t, who, log.ordered, ordered)
    return ordered, filled


@money
def note_fills(t: int, opened: FloatArray, executions: fills.Executions, log: outcome.Filled, place: int) -> int:
    """Append the executions of bar `t` to the log and return where the next one goes."""
    for s in range(len(opened)):
        if executions.quantity[s] != 0.0:
            log.row[place], log.symbol[place] = t, s
            log.quantity[place], log.price[place] = executions.quantity[s], executions.price[s]
            log.fee[place], log.realised[place] = executions.fee[s], executions.realised[s]
            log.opened[place] = opened[s]
            place += 1
    return place


@money
def note_orders(t: int, who: Trader, log: outcome.Ordered, place: int) -> int:
    """Append the verdicts of bar `t` to the log and return where the next one goes."""
    said = who.verdicts
    for s in range(len(said.order)):
        if said.outcome[s] != Answer.NONE:
            log.row[place], log.symbol[place] = t, s
            log.asked[place], log.quantity[place], log.mark[place] = said.asked[s], said.order[s], who.book.mark[s]
            log.outcome[place], log.rule[place] = said.outcome[s], said.rule[s]
            log.found[place], log.limit[place] = said.found[s], said.limit[s]
            log.reason[place] = who.targets.reason[s]
            place += 1
    return place
