"""Risk: the one gate. What decisions want becomes orders that keep every limit, whatever was wanted.

An order is split into the part that reduces the position and the part that adds exposure. Reductions always pass. Additions are
cut, first symbol by symbol, then sector by sector, then all together in proportion, so that the limits hold even if only some of
the orders fill, new ones and those that work already: a reduction makes room for an addition only once it has been filled, and
closes only what no working order closes. What is not known counts against adding.

The gate asks in this order. The account: kill latch, drawdown, what guards demand, daily loss. Each symbol: the hours in which the
market is closed, stops, the account's state, what guards block, price, collar, self-trade, short, its own limits. Then sectors, the
book, lots and the count of orders.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from domain.compiled import money
from domain.decision import Outcome, Rule, TradingState
from domain.error import TradingError
from domain.panel import FloatArray
from pipelines.execution import exposure, rules
from pipelines.execution.conditions import CLOSING, FOUND, LIMIT, RULE, SENT, STATE, Conditions
from pipelines.execution.exposure import Cut
from pipelines.execution.fills import Book
from pipelines.execution.limits import Limits
from pipelines.execution.verdicts import Draft, Verdicts, begin, change, closable

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


def pay(state: State, amount: float) -> None:
    """Take note of money that was paid in or out: peak, and the equity that the day began with, move with it."""
    for place in (PEAK, DAY_EQUITY, LAST_EQUITY):
        if state.account[place] != 0.0:
            state.account[place] = max(state.account[place] + amount, 0.0)


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
def averaged(usual: float, volume: float) -> float:
    """Return the average volume after one more bar, which may be missing."""
    if not volume >= 0.0:
        return usual
    return volume if math.isnan(usual) else usual + (volume - usual) / VOLUME_BARS


@money
def bettered(best: float, held: float, average: float, mark: float) -> float:
    """Return the best mark of a position, with its sign, after one more bar; one that has just begun begins with its entry."""
    if held == 0.0:
        return 0.0
    side = math.copysign(1.0, held)
    seen = side * best
    if not seen > 0.0:
        seen = average
    return side * mark if side * mark > side * seen else side * seen


@money
def observe(limits: Limits, day: float, volume: FloatArray, book: Book, equity: float, state: State) -> None:
    """Take in one bar, once, before it is judged."""
    observe_account(limits, day, equity, state.account)
    for s in range(len(volume)):
        state.volume[s] = averaged(state.volume[s], volume[s])
        state.best[s] = bettered(state.best[s], book.quantity[s], book.average[s], book.mark[s])


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
def over_gap(most: float, book: Book, equity: float, out: Verdicts) -> Cut:
    """Return what of the positions that are wanted may be held over hours in which nothing trades."""
    gross = 0.0
    if not most < math.inf:
        return Cut(1.0, Rule.NONE.value, 0.0, 0.0)
    for s in range(len(out.asked)):
        after = book.quantity[s] + out.asked[s]
        price = book.mark[s] if book.mark[s] > 0.0 else book.average[s]
        gross += abs(after) * price if after != 0.0 else 0.0
    allowed = most * max(equity, 0.0)
    if gross <= allowed:
        return Cut(1.0, Rule.NONE.value, 0.0, 0.0)
    # Written so that a gross that is not a number leaves nothing.
    factor = allowed / gross if gross > allowed else 0.0
    return Cut(factor, Rule.GAP.value, gross / equity if equity > 0.0 else gross, most)


@money
def judge_symbols(
    limits: Limits, ruling: Ruling, gap: Cut, aim: FloatArray, close: FloatArray, volume: FloatArray, book: Book, equity: float,
    conditions: Conditions, state: State, out: Verdicts,
) -> None:  # fmt: skip
    """Apply everything that looks at one symbol to the changes in `out.asked`."""
    for s in range(len(out.asked)):
        held, buying, selling = book.quantity[s], conditions.buying[s], conditions.selling[s]
        mark, price = book.mark[s], conditions.price[s]
        symbol = rules.Symbol(
            held, book.average[s], mark, state.best[s], close[s], volume[s], state.volume[s], buying, selling,
            exposure.priced(mark, conditions.working_price[s], price), price, conditions.highest_buy[s], conditions.lowest_sell[s],
        )  # fmt: skip
        closing = closable(held, buying, selling)
        draft = begin(out.asked[s], held, closing)
        if gap.factor < 1.0:
            draft = rules.before_gap(limits, gap, draft, out.asked[s], held, closing)
        if state.stopped[s] != 0.0 or held != 0.0:
            loss = rules.losing(limits, symbol)
            state.stopped[s] = rules.kept_out(state.stopped[s], aim[s], held, loss)
            draft = rules.stop(draft, state.stopped[s], held, closing, loss)
        if draft.order != draft.kept:
            if ruling.state != TradingState.ACTIVE:
                draft = change(draft, draft.kept, ruling.rule, ruling.found, ruling.limit)
            elif conditions.blocked[s] != Rule.NONE:
                draft = change(draft, draft.kept, conditions.blocked[s], conditions.found[s], conditions.limit[s])
            else:
                draft = rules.judge_order(limits, symbol, draft, equity)
        out.order[s], out.kept[s], out.rule[s], out.found[s], out.limit[s] = (
            draft.order, draft.kept, draft.rule, draft.found, draft.limit,
        )  # fmt: skip
        out.outcome[s] = Outcome.FORCED.value if draft.forced else Outcome.NONE.value


@money
def finish_symbols(limits: Limits, buy: Cut, sell: Cut, book: Book, conditions: Conditions, out: Verdicts) -> int:
    """Finish every order that there is, and return how many are left to send."""
    orders = 0
    for s in range(len(out.asked)):
        if out.asked[s] == 0.0 and out.order[s] == 0.0:
            continue
        forced = out.outcome[s] == Outcome.FORCED
        draft = Draft(out.order[s], out.kept[s], forced, out.rule[s], out.found[s], out.limit[s])
        dear = exposure.priced(book.mark[s], conditions.working_price[s], conditions.price[s])
        closing = closable(book.quantity[s], conditions.buying[s], conditions.selling[s])
        draft = rules.finish(limits, draft, buy if draft.order > 0.0 else sell, closing, dear)
        out.order[s] = draft.order if draft.order != 0.0 else 0.0
        out.rule[s], out.found[s], out.limit[s] = draft.rule, draft.found, draft.limit
        out.outcome[s] = rules.outcome(draft, out.asked[s])
        orders += draft.order != 0.0
    return orders


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
                out.order[s], out.outcome[s] = 0.0, Outcome.DENIED
                out.rule[s], out.found[s], out.limit[s] = Rule.ORDER_RATE, sent + 1.0, limits.orders_max


@money
def flatten(limits: Limits, ruling: Ruling, book: Book, conditions: Conditions, out: Verdicts) -> None:
    """Close every position, where that is the policy, and deny everything else."""
    for s in range(len(out.order)):
        out.outcome[s], out.rule[s], out.found[s], out.limit[s] = Outcome.NONE, Rule.NONE, 0.0, 0.0
        out.order[s] = out.kept[s] = 0.0
        if limits.flatten:
            out.order[s] = out.kept[s] = closable(book.quantity[s], conditions.buying[s], conditions.selling[s])
        if out.order[s] != 0.0 or out.asked[s] != 0.0:
            out.rule[s], out.found[s], out.limit[s] = ruling.rule, ruling.found, ruling.limit
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
    gap = over_gap(conditions.account[CLOSING], book, equity, out)
    judge_symbols(limits, ruling, gap, aim, close, volume, book, equity, conditions, state, out)
    buy, sell, gross = exposure.check(limits, book, conditions, equity, calm(limits, state.account[VARIANCE]), out)
    if not gross <= limits.leverage_max * max(equity, 0.0):
        state.account[STANDING] = TradingState.REDUCING.value
    orders = finish_symbols(limits, buy, sell, book, conditions, out)
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
