"""Risk: the one gate. What decisions want becomes orders that keep every limit, whatever was wanted.

An order is split into the part that reduces the position and the part that adds exposure. Reductions always pass. Additions are
cut, first symbol by symbol, then sector by sector, then all together in proportion, so that the limits hold even if only some of
the orders fill, new ones and those that work already: a reduction makes room for an addition only once it has been filled, and
closes only what no working order closes. What is not known counts against adding.

The gate asks in this order. The account: kill latch, drawdown, what guards demand, daily loss. Each symbol: stops, the account's
state, what guards block, price, collar, self-trade, short, its own limits. Then sectors, the book, lots and the count of orders.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from domain.compiled import money
from domain.decision import Outcome, Rule, TradingState
from domain.error import TradingError
from domain.panel import FloatArray
from pipelines.execution import exposure, fills
from pipelines.execution.conditions import FOUND, LIMIT, RULE, SENT, STATE, Conditions
from pipelines.execution.exposure import Cut
from pipelines.execution.fills import Book
from pipelines.execution.limits import Limits
from pipelines.execution.verdicts import Verdicts, cap, closable, reduction, rule_out

#: Places in State.account.
PEAK, LATCHED, DAY, DAY_EQUITY, DAY_LOSS, LAST_EQUITY, VARIANCE, STANDING = range(8)
#: Bars over which volume and the variance of equity are averaged, exponentially.
VOLUME_BARS, VARIANCE_BARS = 20, 60


class State(NamedTuple):
    """What the gate remembers between bars; changed in place."""

    account: FloatArray
    """[8] highest equity so far; 1 when the kill latch is shut; the session's day, the equity that it began with, the loss
    that broke its limit, 0 for none; the latest equity; the variance of its returns; the code of the TradingState that resulted."""
    stopped: FloatArray
    """[S] side of the position that a stop closed, 0 where none: no way back in until the view changes."""
    best: FloatArray
    """[S] best mark that the position has seen, its entry included, with the position's sign; 0 where none is held."""
    volume: FloatArray
    """[S] average volume of a bar; NaN before the first."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return the memory of a gate that has seen nothing."""
        return cls(np.zeros(8), np.zeros(symbols), np.zeros(symbols), np.full(symbols, math.nan))


class Ruling(NamedTuple):
    """What the account may do, and the rule that says so with the two numbers compared."""

    state: int
    rule: int
    found: float
    limit: float


class Verdict(NamedTuple):
    """The gate's answer to one order."""

    quantity: float
    """Signed, 0 for none."""
    outcome: Outcome
    rule: Rule
    found: float
    limit: float


def halt(state: State) -> None:
    """Shut the kill latch: nothing is opened until `resume`."""
    state.account[LATCHED] = 1.0


def resume(state: State, equity: float) -> None:
    """Open the kill latch; drawdown is measured from here on, the day's loss as before."""
    state.account[LATCHED], state.account[PEAK] = 0.0, equity


def halted(state: State) -> bool:
    """Say whether the kill latch is shut; anything but a clean 0 counts as shut."""
    return bool(state.account[LATCHED] != 0.0)


def standing(state: State) -> TradingState:
    """Return what the account was allowed to do when the gate was last asked; a shut latch counts at once."""
    return TradingState.HALTED if halted(state) else TradingState(int(state.account[STANDING]))


@money
def observe_account(limits: Limits, day: float, equity: float, account: FloatArray) -> None:
    """Take in one bar's equity: variance of its returns, and the day's loss against the last equity of the session before."""
    last = account[LAST_EQUITY]
    if day > account[DAY] or account[DAY_EQUITY] == 0.0:
        account[DAY], account[DAY_LOSS] = day, 0.0
        account[DAY_EQUITY] = last if last != 0.0 else equity
    began = account[DAY_EQUITY]
    loss = 1.0 - equity / began if began > 0.0 else 1.0
    if account[DAY_LOSS] == 0.0 and not loss <= limits.daily_loss_max:
        account[DAY_LOSS] = loss
    if last != 0.0:
        change = equity / last - 1.0
        account[VARIANCE] += (change * change - account[VARIANCE]) / VARIANCE_BARS
    account[LAST_EQUITY] = equity


@money
def observe_symbol(s: int, volume: float, book: Book, state: State) -> None:
    """Take in one symbol's bar: the average of its volumes, and the best mark of its position."""
    if volume >= 0.0:
        usual = state.volume[s]
        state.volume[s] = volume if math.isnan(usual) else usual + (volume - usual) / VOLUME_BARS
    held = book.quantity[s]
    if held == 0.0:
        state.best[s] = 0.0
        return
    side = math.copysign(1.0, held)
    best = side * state.best[s]
    if not best > 0.0:
        best = book.average[s]
    if side * book.mark[s] > side * best:
        best = book.mark[s]
    state.best[s] = side * best


@money
def observe(limits: Limits, day: float, volume: FloatArray, book: Book, equity: float, state: State) -> None:
    """Take in one bar, once, before it is judged."""
    observe_account(limits, day, equity, state.account)
    for s in range(len(volume)):
        observe_symbol(s, volume[s], book, state)


@money
def trip(limits: Limits, equity: float, state: State, conditions: Conditions) -> Ruling:
    """Follow the equity's peak, shut the latch on a deep enough fall and return what the account may do."""
    account, demanded = state.account, conditions.standing[STATE]
    if account[LATCHED] != 0.0:
        return Ruling(TradingState.HALTED.value, Rule.KILL_LATCH.value, 1.0, 0.0)
    account[PEAK] = max(account[PEAK], equity)
    fall = 1.0 - equity / account[PEAK] if account[PEAK] > 0.0 else 1.0
    # Written so that an equity that is not a number shuts it too.
    if not fall <= limits.drawdown_max:
        account[LATCHED] = 1.0
        return Ruling(TradingState.HALTED.value, Rule.DRAWDOWN.value, fall, limits.drawdown_max)
    told = Ruling(demanded, conditions.standing[RULE], conditions.account[FOUND], conditions.account[LIMIT])
    if not TradingState.ACTIVE <= demanded <= TradingState.REDUCING:
        return Ruling(TradingState.HALTED.value, told.rule, told.found, told.limit)
    if account[DAY_LOSS] != 0.0:
        return Ruling(TradingState.REDUCING.value, Rule.DAILY_LOSS.value, account[DAY_LOSS], limits.daily_loss_max)
    return told


@money
def calm(limits: Limits, variance: float) -> float:
    """Return the part of `gross_max` that the volatility of equity leaves: 1 within its limit, none where it is unknown."""
    if variance <= limits.volatility_bar * limits.volatility_bar:
        return 1.0
    return limits.volatility_bar / math.sqrt(variance) if variance > 0.0 else 0.0


@money
def fallen(held: float, mark: float, since: float) -> float:
    """Return a position's loss since a price at which it stood, as a share of it."""
    return math.copysign(1.0, held) * (1.0 - mark / since) if held != 0.0 and since > 0.0 else 0.0


@money
def stop(limits: Limits, s: int, aim: float, book: Book, conditions: Conditions, state: State, out: Verdicts) -> None:
    """Force a position out whose loss is too large, and keep it out until the forecast's sign has changed or it sees no edge."""
    held = book.quantity[s]
    if state.stopped[s] * aim <= 0.0 and state.stopped[s] * held <= 0.0:
        state.stopped[s] = 0.0
    rule, most = Rule.STOP_LOSS, limits.stop_loss
    loss = fallen(held, book.mark[s], book.average[s])
    if not loss > most:
        trailed = fallen(held, book.mark[s], abs(state.best[s]))
        if trailed > limits.trailing_stop:
            rule, loss, most = Rule.TRAILING_STOP, trailed, limits.trailing_stop
    if loss > most:
        state.stopped[s] = math.copysign(1.0, held)
    side = state.stopped[s]
    if side * held > 0.0:
        out.kept[s] = closable(held, conditions.buying[s], conditions.selling[s])
        rule_out(out, s, out.kept[s], rule, loss, most)
        out.outcome[s] = Outcome.FORCED if out.kept[s] != 0.0 else Outcome.NONE
    elif side * out.order[s] > 0.0:
        rule_out(out, s, out.kept[s], rule, side, 0.0)


@money
def admit(limits: Limits, s: int, close: float, book: Book, conditions: Conditions, out: Verdicts) -> bool:
    """Say whether an order may add at all: there is a price, the order's is near the mark, and it meets no order of our own."""
    mark, price = book.mark[s], conditions.price[s]
    if not close > 0.0 or not mark > 0.0:
        rule_out(out, s, out.kept[s], Rule.MISSING_PRICE, 0.0, 1.0)
        return False
    reference = close if math.isnan(price) else price
    if not abs(reference - mark) <= limits.price_collar * mark:
        edge = mark * (1.0 + math.copysign(limits.price_collar, reference - mark))
        rule_out(out, s, out.kept[s], Rule.PRICE_COLLAR, reference, edge)
        return False
    # A market order has no price, and meets whatever works on the other side.
    if out.order[s] > 0.0 and conditions.selling[s] != 0.0 and not price < conditions.lowest_sell[s]:
        rule_out(out, s, out.kept[s], Rule.SELF_TRADE, reference, conditions.lowest_sell[s])
        return False
    if out.order[s] < 0.0 and conditions.buying[s] != 0.0 and not price > conditions.highest_buy[s]:
        rule_out(out, s, out.kept[s], Rule.SELF_TRADE, reference, conditions.highest_buy[s])
        return False
    return True


@money
def limit_symbol(
    limits: Limits, s: int, volume: float, book: Book, conditions: Conditions, equity: float, usual: float, out: Verdicts
) -> None:
    """Apply the limits that look at one symbol alone to an order that adds exposure; `usual` is the average volume of its bars."""
    price, side = exposure.priced(book, conditions, s), math.copysign(1.0, out.order[s])
    # What is held once the working orders on the order's own side have filled.
    held = book.quantity[s] + conditions.buying[s] if side > 0.0 else book.quantity[s] - conditions.selling[s]
    if not limits.shortable and side < 0.0 and not held + out.order[s] >= 0.0:
        rule_out(out, s, out.kept[s], Rule.SHORT, held + out.order[s], 0.0)
    after = abs(held + out.order[s]) * price
    if not after <= limits.symbol_weight_max * equity:
        room = limits.symbol_weight_max * equity / price - held * side
        cap(out, s, room, Rule.SYMBOL_WEIGHT, after / equity if equity > 0.0 else after, limits.symbol_weight_max)
    notional = abs(out.order[s]) * price
    if notional > limits.order_notional_max:
        cap(out, s, limits.order_notional_max / price, Rule.ORDER_NOTIONAL, notional, limits.order_notional_max)
    if abs(out.order[s]) > limits.order_quantity_max:
        cap(out, s, limits.order_quantity_max, Rule.ORDER_QUANTITY, abs(out.order[s]), limits.order_quantity_max)
    most = fills.available(volume, limits.participation_max)
    if abs(out.order[s]) > most:
        cap(out, s, most, Rule.PARTICIPATION, abs(out.order[s]), most)
    most = fills.available(usual, limits.liquidity_max)
    if abs(out.order[s]) > most:
        cap(out, s, most, Rule.LIQUIDITY, abs(out.order[s]), most)


@money
def judge_symbol(
    limits: Limits, s: int, ruling: Ruling, aim: float, close: float, volume: float, book: Book, equity: float,
    conditions: Conditions, state: State, out: Verdicts,
) -> None:  # fmt: skip
    """Apply everything that looks at one symbol to the change that is asked for it."""
    held = book.quantity[s]
    out.order[s] = out.asked[s] if abs(out.asked[s]) < math.inf else 0.0
    out.kept[s] = reduction(out.order[s], held, conditions.buying[s], conditions.selling[s])
    out.outcome[s], out.rule[s], out.found[s], out.limit[s] = Outcome.NONE, Rule.NONE, 0.0, 0.0
    if state.stopped[s] != 0.0 or held != 0.0:
        stop(limits, s, aim, book, conditions, state, out)
    if out.order[s] == out.kept[s]:
        return
    if ruling.state != TradingState.ACTIVE:
        rule_out(out, s, out.kept[s], ruling.rule, ruling.found, ruling.limit)
    elif conditions.blocked[s] != Rule.NONE:
        rule_out(out, s, out.kept[s], conditions.blocked[s], conditions.found[s], conditions.limit[s])
    elif admit(limits, s, close, book, conditions, out):
        limit_symbol(limits, s, volume, book, conditions, equity, state.volume[s], out)


@money
def finish(limits: Limits, s: int, cut: Cut, book: Book, conditions: Conditions, out: Verdicts) -> None:
    """Cut one order to what the book allows and to whole lots, drop it when it is too small to send, and name the outcome."""
    if cut.factor < 1.0 and out.order[s] != out.kept[s]:
        rule_out(out, s, out.kept[s] + cut.factor * (out.order[s] - out.kept[s]), cut.rule, cut.found, cut.limit)
    if out.order[s] != closable(book.quantity[s], conditions.buying[s], conditions.selling[s]):
        out.order[s] = fills.whole_lots(out.order[s], limits.lot)
        notional = abs(out.order[s]) * exposure.priced(book, conditions, s)
        if notional < limits.notional_min and out.order[s] != 0.0:
            rule_out(out, s, 0.0, Rule.MIN_NOTIONAL, notional, limits.notional_min)
    if out.outcome[s] == Outcome.FORCED:
        return
    if out.order[s] == 0.0:
        out.order[s] = 0.0
        out.outcome[s] = Outcome.DENIED if out.asked[s] != 0.0 else Outcome.NONE
    else:
        out.outcome[s] = Outcome.APPROVED if out.rule[s] == Rule.NONE else Outcome.REDUCED


@money
def count_out(limits: Limits, sent: float, out: Verdicts) -> None:
    """Deny the orders beyond the count that the present window has left, symbol by symbol; those that reduce are counted first."""
    for s in range(len(out.order)):
        if out.order[s] != 0.0 and out.kept[s] != 0.0:
            sent += 1.0
    for s in range(len(out.order)):
        if out.order[s] != 0.0 and out.kept[s] == 0.0:
            if sent + 1.0 <= limits.orders_max:
                sent += 1.0
            else:
                rule_out(out, s, 0.0, Rule.ORDER_RATE, sent + 1.0, limits.orders_max)
                out.outcome[s] = Outcome.DENIED


@money
def flatten(limits: Limits, ruling: Ruling, book: Book, conditions: Conditions, out: Verdicts) -> None:
    """Close every position, where that is the policy, and deny everything else."""
    for s in range(len(out.order)):
        out.outcome[s], out.rule[s], out.found[s], out.limit[s] = Outcome.NONE, Rule.NONE, 0.0, 0.0
        out.order[s] = out.kept[s] = 0.0
        if limits.flatten:
            out.order[s] = out.kept[s] = closable(book.quantity[s], conditions.buying[s], conditions.selling[s])
        if out.order[s] != 0.0 or out.asked[s] != 0.0:
            rule_out(out, s, out.order[s], ruling.rule, ruling.found, ruling.limit)
            out.outcome[s] = Outcome.FORCED if out.order[s] != 0.0 else Outcome.DENIED


@money
def gate(
    limits: Limits, aim: FloatArray, close: FloatArray, volume: FloatArray, book: Book, equity: float, conditions: Conditions,
    state: State, out: Verdicts,
) -> None:  # fmt: skip
    """Judge the changes in `out.asked` [S] for a bar that `state` has observed: see `step`."""
    ruling = trip(limits, equity, state, conditions)
    state.account[STANDING] = ruling.state
    if ruling.state == TradingState.HALTED:
        flatten(limits, ruling, book, conditions, out)
        return
    for s in range(len(out.asked)):
        judge_symbol(limits, s, ruling, aim[s], close[s], volume[s], book, equity, conditions, state, out)
    buy, sell, gross = exposure.check(limits, book, conditions, equity, calm(limits, state.account[VARIANCE]), out)
    if not gross <= limits.leverage_max * max(equity, 0.0):
        state.account[STANDING] = TradingState.REDUCING.value
    orders = 0
    for s in range(len(out.asked)):
        if out.asked[s] != 0.0 or out.order[s] != 0.0:
            finish(limits, s, buy if out.order[s] > 0.0 else sell, book, conditions, out)
            orders += out.order[s] != 0.0
    if not conditions.account[SENT] + orders <= limits.orders_max:
        count_out(limits, conditions.account[SENT], out)


@money
def step(
    limits: Limits, wanted: FloatArray, aim: FloatArray, close: FloatArray, volume: FloatArray, book: Book, equity: float,
    day: float, conditions: Conditions, state: State, out: Verdicts,
) -> None:  # fmt: skip
    """Judge one bar at its close: `wanted` quantities [S] become orders, each with outcome, rule and the two numbers compared.

    `aim` is the decision's conviction, NaN without a forecast; the book must be marked to this bar and `equity` be its worth. `day`
    numbers the session that the bar belongs to; a day that is not later than the last one seen begins none.
    """
    observe(limits, day, volume, book, equity, state)
    for s in range(len(wanted)):
        out.asked[s] = wanted[s] - book.quantity[s]
    gate(limits, aim, close, volume, book, equity, conditions, state, out)


def judge(
    limits: Limits, s: int, quantity: float, price: float, close: FloatArray, volume: FloatArray, book: Book, equity: float,
    conditions: Conditions, state: State,
) -> Verdict:  # fmt: skip
    """Judge one order of one symbol against the whole book, as `step` would judge a bar that wants nothing else.

    `price` is its limit or stop, NaN for a market order; `close` and `volume` [S] are the newest bar's. Nothing is changed. A
    position that must be forced out is answered with that order, whatever was asked. Raises TradingError for a quantity that
    orders nothing.
    """
    if not 0.0 < abs(quantity) < math.inf:
        raise TradingError(f"an order needs a quantity other than 0, found {quantity}: give a signed number of units")
    count = len(book.quantity)
    known, copy = conditions._replace(price=np.full(count, math.nan)), State(*(values.copy() for values in state))
    aim, out = np.full(count, math.nan), Verdicts.blank(count)
    known.price[s], out.asked[s], aim[s] = price, quantity, math.copysign(1.0, quantity)
    gate(limits, aim, close, volume, book, equity, known, copy, out)
    codes = Outcome(int(out.outcome[s])), Rule(int(out.rule[s]))
    return Verdict(float(out.order[s]), *codes, float(out.found[s]), float(out.limit[s]))
