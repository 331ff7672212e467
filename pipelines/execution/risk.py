"""Risk: the one gate. What decisions want becomes orders that keep every limit, whatever was wanted.

An order is split into the part that reduces the position and the part that adds exposure. Reductions always pass. Additions are
cut, first symbol by symbol, then all together in proportion, so that the limits hold even if only some of the orders fill: a
reduction makes room for an addition only once it has been filled.
"""

import math
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain.compiled import money
from domain.decision import Outcome, Rule
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from pipelines.execution import fills
from pipelines.execution.fills import Book

CodeArray = npt.NDArray[np.int64]

#: Places in State.account.
PEAK, LATCHED = 0, 1


class Limits(NamedTuple):
    """The numbers of the gate, ready for compiled code."""

    lot: float
    shortable: bool
    symbol_weight_max: float
    gross_max: float
    net_max: float
    turnover_max: float
    order_notional_max: float
    participation_max: float
    stop_loss: float
    drawdown_max: float
    notional_min: float


class State(NamedTuple):
    """What the gate remembers between bars; changed in place."""

    account: FloatArray
    """[2] highest equity so far, and 1 when the kill latch is shut."""
    stopped: FloatArray
    """[S] side of the position that a stop-loss closed, 0 where none: no way back in until the view changes."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return the memory of a gate that has seen nothing."""
        return cls(np.zeros(2), np.zeros(symbols))


class Verdicts(NamedTuple):
    """The gate's answer to one bar; every row is overwritten."""

    order: FloatArray
    """[S] signed quantity to send, 0 for none."""
    asked: FloatArray
    """[S] signed change that was wanted."""
    kept: FloatArray
    """[S] the part of the order that only closes what is held, which no limit takes away."""
    found: FloatArray
    """[S] what the deciding rule found before it changed the order: a fraction of equity, for ORDER_NOTIONAL and MIN_NOTIONAL an
    amount of currency, for PARTICIPATION and SHORT a quantity, a loss for STOP_LOSS and DRAWDOWN."""
    limit: FloatArray
    """[S] what it allows, in the same unit; amounts of currency where there is no equity to take a fraction of."""
    outcome: CodeArray
    """[S] codes of Outcome."""
    rule: CodeArray
    """[S] codes of Rule: the last one that changed the order."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return room for one bar."""
        return cls(*np.zeros((5, symbols)), *np.zeros((2, symbols), dtype=np.int64))


class Cut(NamedTuple):
    """What the limits of the whole book leave of the additions of one side."""

    factor: float
    rule: int
    found: float
    limit: float


def limits(market: Market, params: Params) -> Limits:
    """Return the gate's numbers for a market."""
    rules = params.risk
    return Limits(
        lot=market.instrument.lot,
        shortable=market.instrument.shortable,
        notional_min=params.orders.notional_min,
        **rules.model_dump(),
    )


def halt(state: State) -> None:
    """Shut the kill latch: every position is closed and nothing is opened until `resume`."""
    state.account[LATCHED] = 1.0


def resume(state: State, equity: float) -> None:
    """Open the kill latch; drawdown is measured from here on."""
    state.account[LATCHED], state.account[PEAK] = 0.0, equity


def halted(state: State) -> bool:
    """Say whether the kill latch is shut; anything but a clean 0 counts as shut."""
    return bool(state.account[LATCHED] != 0.0)


@money
def rule_out(out: Verdicts, s: int, order: float, rule: int, found: float, limit: float) -> None:
    """Change one order and note who did it."""
    out.order[s], out.rule[s], out.found[s], out.limit[s] = order, rule, found, limit


@money
def reduction(order: float, held: float) -> float:
    """Return the part of an order that only closes what is held."""
    if order * held >= 0.0:
        return 0.0
    return math.copysign(min(abs(order), abs(held)), order)


@money
def cap(out: Verdicts, s: int, most: float, rule: int, found: float, limit: float) -> None:
    """Cut one order to `most` units of quantity, but never below what only reduces."""
    left = max(abs(out.kept[s]), most, 0.0)
    if left < abs(out.order[s]):
        rule_out(out, s, math.copysign(left, out.order[s]), rule, found, limit)


@money
def trip(limits: Limits, equity: float, state: State) -> tuple[int, float, float]:
    """Follow the equity's peak, shut the latch on a deep enough fall and return the (rule, found, limit) that shuts it."""
    if state.account[LATCHED] != 0.0:
        return Rule.KILL_LATCH, 1.0, 0.0
    state.account[PEAK] = max(state.account[PEAK], equity)
    fall = 1.0 - equity / state.account[PEAK] if state.account[PEAK] > 0.0 else 1.0
    # Written so that an equity that is not a number shuts it too.
    if not fall <= limits.drawdown_max:
        state.account[LATCHED] = 1.0
        return Rule.DRAWDOWN, fall, limits.drawdown_max
    return Rule.NONE, 0.0, 0.0


@money
def stop(limits: Limits, s: int, aim: float, book: Book, state: State, out: Verdicts) -> None:
    """Force a position out whose loss is too large, and keep it out until the forecast's sign has changed or it sees no edge."""
    held, average = book.quantity[s], book.average[s]
    if state.stopped[s] * aim <= 0.0 and state.stopped[s] * held <= 0.0:
        state.stopped[s] = 0.0
    loss = math.copysign(1.0, held) * (1.0 - book.mark[s] / average) if held != 0.0 and average > 0.0 else 0.0
    if loss > limits.stop_loss:
        state.stopped[s] = math.copysign(1.0, held)
    side = state.stopped[s]
    if side * held > 0.0:
        rule_out(out, s, -held, Rule.STOP_LOSS, loss, limits.stop_loss)
        out.kept[s] = -held
        out.outcome[s] = Outcome.FORCED
    elif side * out.order[s] > 0.0:
        rule_out(out, s, out.kept[s], Rule.STOP_LOSS, side, 0.0)


@money
def check_symbol(limits: Limits, s: int, close: float, volume: float, book: Book, equity: float, out: Verdicts) -> None:
    """Apply the limits that look at one symbol alone to an order that adds exposure."""
    held, price = book.quantity[s], book.mark[s]
    if not close > 0.0:
        rule_out(out, s, out.kept[s], Rule.MISSING_PRICE, 0.0, 1.0)
        return
    if not limits.shortable and out.order[s] < 0.0 and held + out.order[s] < 0.0:
        rule_out(out, s, out.kept[s], Rule.SHORT, held + out.order[s], 0.0)
    after = abs(held + out.order[s]) * price
    if not after <= limits.symbol_weight_max * equity:
        room = limits.symbol_weight_max * equity / price - held * math.copysign(1.0, out.order[s])
        cap(out, s, room, Rule.SYMBOL_WEIGHT, after / equity if equity > 0.0 else after, limits.symbol_weight_max)
    notional = abs(out.order[s]) * price
    if notional > limits.order_notional_max:
        cap(out, s, limits.order_notional_max / price, Rule.ORDER_NOTIONAL, notional, limits.order_notional_max)
    most = fills.available(volume, limits.participation_max)
    if abs(out.order[s]) > most:
        cap(out, s, most, Rule.PARTICIPATION, abs(out.order[s]), most)


@money
def fit(cut: Cut, used: float, added: float, most: float, rule: int, equity: float) -> Cut:
    """Return `cut`, made smaller when the additions, with `used` taken already, would exceed `most` (account currency)."""
    if not added > 0.0 or used + added <= most:
        return cut
    factor = max(most - used, 0.0) / added
    if equity > 0.0:
        return Cut(cut.factor * factor, rule, (used + added) / equity, most / equity)
    return Cut(0.0, rule, used + added, most)


@money
def check_book(limits: Limits, book: Book, equity: float, out: Verdicts) -> tuple[Cut, Cut]:
    """Return what the limits of the whole book leave of the additions of buys and of sells, all cut in proportion.

    Each order counts as filled only where that is the worse.
    """
    gross, net, covers, closes, buys, sells = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(len(out.order)):
        price = book.mark[s]
        if book.quantity[s] != 0.0:
            gross += abs(book.quantity[s]) * price
            net += book.quantity[s] * price
            covers += max(out.kept[s], 0.0) * price
            closes -= min(out.kept[s], 0.0) * price
        added = out.order[s] - out.kept[s]
        if added > 0.0:
            buys += added * price
        elif added < 0.0:
            sells -= added * price
    worth = max(equity, 0.0)
    buy = fit(Cut(1.0, Rule.NONE, 0.0, 0.0), gross, buys + sells, limits.gross_max * worth, Rule.GROSS, worth)
    sell = buy
    buy = fit(buy, net + covers, buy.factor * buys, limits.net_max * worth, Rule.NET, worth)
    sell = fit(sell, closes - net, sell.factor * sells, limits.net_max * worth, Rule.NET, worth)
    added = buy.factor * buys + sell.factor * sells
    most = limits.turnover_max * worth
    return (
        fit(buy, covers + closes, added, most, Rule.TURNOVER, worth),
        fit(sell, covers + closes, added, most, Rule.TURNOVER, worth),
    )


@money
def finish(limits: Limits, s: int, cut: Cut, held: float, price: float, out: Verdicts) -> None:
    """Cut one order to what the book allows and to whole lots, drop it when it is too small to send, and name the outcome."""
    if cut.factor < 1.0 and out.order[s] != out.kept[s]:
        rule_out(out, s, out.kept[s] + cut.factor * (out.order[s] - out.kept[s]), cut.rule, cut.found, cut.limit)
    if out.order[s] != -held:
        out.order[s] = fills.whole_lots(out.order[s], limits.lot)
        notional = abs(out.order[s]) * price
        if notional < limits.notional_min and out.order[s] != 0.0:
            rule_out(out, s, 0.0, Rule.MIN_NOTIONAL, notional, limits.notional_min)
    if out.outcome[s] == Outcome.FORCED:
        return
    if out.order[s] == 0.0:
        out.order[s] = 0.0
        out.outcome[s] = Outcome.DENIED
    else:
        out.outcome[s] = Outcome.APPROVED if out.rule[s] == Rule.NONE else Outcome.REDUCED


@money
def flatten(rule: int, found: float, limit: float, book: Book, out: Verdicts) -> None:
    """Close every position and deny everything else."""
    for s in range(len(out.order)):
        held = book.quantity[s]
        if held != 0.0 or out.asked[s] != 0.0:
            rule_out(out, s, -held if held != 0.0 else 0.0, rule, found, limit)
            out.outcome[s] = Outcome.FORCED if held != 0.0 else Outcome.DENIED


@money
def step(
    limits: Limits, wanted: FloatArray, aim: FloatArray, close: FloatArray, volume: FloatArray, book: Book, equity: float,
    state: State, out: Verdicts,
) -> None:  # fmt: skip
    """Judge one bar at its close: `wanted` quantities [S] become orders, each with outcome, rule and the two numbers compared.

    `aim` is the decision's conviction, NaN without a forecast; the book must be marked to this bar and `equity` be its worth.
    """
    shut, found, limit = trip(limits, equity, state)
    for s in range(len(wanted)):
        held = book.quantity[s]
        out.asked[s] = out.order[s] = wanted[s] - held
        out.kept[s] = reduction(out.order[s], held)
        out.outcome[s], out.rule[s], out.found[s], out.limit[s] = Outcome.NONE, Rule.NONE, 0.0, 0.0
        if shut == Rule.NONE:
            if state.stopped[s] != 0.0 or held != 0.0:
                stop(limits, s, aim[s], book, state, out)
            if out.order[s] != out.kept[s]:
                check_symbol(limits, s, close[s], volume[s], book, equity, out)
    if shut != Rule.NONE:
        flatten(shut, found, limit, book, out)
        return
    buy, sell = check_book(limits, book, equity, out)
    for s in range(len(wanted)):
        if out.asked[s] != 0.0 or out.order[s] != 0.0:
            finish(limits, s, buy if out.order[s] > 0.0 else sell, book.quantity[s], book.mark[s], out)
