"""Rules: what the gate asks of one symbol's position and order, number by number.

Compiled leaves: numbers in, numbers out. `risk.py` walks through the symbols and says in which order they are asked.
"""

import math
from typing import NamedTuple

from domain.compiled import money
from domain.decision import Outcome, Rule
from pipelines.execution import fills
from pipelines.execution.exposure import Cut
from pipelines.execution.limits import Limits
from pipelines.execution.verdicts import Draft, begin, cap, change


class Symbol(NamedTuple):
    """One symbol as the gate sees it: numbers alone."""

    held: float
    average: float
    mark: float
    best: float
    close: float
    volume: float
    usual: float
    """Average volume of its bars."""
    buying: float
    selling: float
    dear: float
    """The price at which it counts, `exposure.priced`."""
    price: float
    highest_buy: float
    lowest_sell: float


class Loss(NamedTuple):
    """How a position stands with its stops."""

    rule: int
    """The stop that is broken, the stop-loss where none is."""
    found: float
    limit: float


@money
def before_gap(limits: Limits, gap: Cut, draft: Draft, asked: float, held: float, closing: float) -> Draft:
    """Cut what is to be held to its share of what may be, in whole lots; what must go for it is forced out, never turned around."""
    wanted = held + asked if abs(asked) < math.inf else held
    target = fills.whole_lots(wanted * gap.factor, limits.lot)
    if target == wanted:
        return draft
    smaller = begin(target - held, held, closing)
    reduces = target * held >= 0.0 and abs(target) < abs(held)
    order = smaller.kept if reduces else smaller.order
    return Draft(order, smaller.kept, reduces and order != 0.0, gap.rule, gap.found, gap.limit)


@money
def fallen(held: float, mark: float, since: float) -> float:
    """Return a position's loss since a price at which it stood, as a share of it."""
    return math.copysign(1.0, held) * (1.0 - mark / since) if held != 0.0 and since > 0.0 else 0.0


@money
def losing(limits: Limits, symbol: Symbol) -> Loss:
    """Return the stop that a position breaks, with its loss and the limit; a loss within the limit breaks none."""
    loss = fallen(symbol.held, symbol.mark, symbol.average)
    trailed = fallen(symbol.held, symbol.mark, abs(symbol.best))
    if not loss > limits.stop_loss and trailed > limits.trailing_stop:
        return Loss(Rule.TRAILING_STOP.value, trailed, limits.trailing_stop)
    return Loss(Rule.STOP_LOSS.value, loss, limits.stop_loss)


@money
def kept_out(side: float, aim: float, held: float, loss: Loss) -> float:
    """Return the side that a stop keeps out: until the forecast's sign has changed, or it sees no edge, once it is out."""
    if loss.found > loss.limit:
        return math.copysign(1.0, held)
    return 0.0 if side * aim <= 0.0 and side * held <= 0.0 else side


@money
def stop(draft: Draft, side: float, held: float, closing: float, loss: Loss) -> Draft:
    """Force out a position on a side that is kept out, and deny the way back in."""
    if side * held > 0.0:
        return Draft(closing, closing, closing != 0.0, loss.rule, loss.found, loss.limit)
    if side * draft.order > 0.0:
        return change(draft, draft.kept, Rule.STOP_LOSS.value, side, 0.0)
    return draft


@money
def admit(limits: Limits, symbol: Symbol, draft: Draft) -> Draft:
    """Let an order add only where there is a price, its own is near the mark, and it meets no order of ours."""
    mark, price = symbol.mark, symbol.price
    if not symbol.close > 0.0 or not mark > 0.0:
        return change(draft, draft.kept, Rule.MISSING_PRICE.value, 0.0, 1.0)
    reference = symbol.close if math.isnan(price) else price
    if not abs(reference - mark) <= limits.price_collar * mark:
        edge = mark * (1.0 + math.copysign(limits.price_collar, reference - mark))
        return change(draft, draft.kept, Rule.PRICE_COLLAR.value, reference, edge)
    # A market order has no price, and meets whatever works on the other side.
    if draft.order > 0.0 and symbol.selling != 0.0 and not price < symbol.lowest_sell:
        return change(draft, draft.kept, Rule.SELF_TRADE.value, reference, symbol.lowest_sell)
    if draft.order < 0.0 and symbol.buying != 0.0 and not price > symbol.highest_buy:
        return change(draft, draft.kept, Rule.SELF_TRADE.value, reference, symbol.highest_buy)
    return draft


@money
def size(limits: Limits, symbol: Symbol, draft: Draft, equity: float) -> Draft:
    """Cut an order that adds to what one symbol's position may be, and one order."""
    side = math.copysign(1.0, draft.order)
    # What is held once the working orders on the order's own side have filled.
    held = symbol.held + symbol.buying if side > 0.0 else symbol.held - symbol.selling
    if not limits.shortable and side < 0.0 and not held + draft.order >= 0.0:
        draft = change(draft, draft.kept, Rule.SHORT.value, held + draft.order, 0.0)
    after, most = abs(held + draft.order) * symbol.dear, limits.symbol_weight_max
    if not after <= most * equity:
        room = most * equity / symbol.dear - held * side
        draft = cap(draft, room, Rule.SYMBOL_WEIGHT.value, after / equity if equity > 0.0 else after, most)
    notional, most = abs(draft.order) * symbol.dear, limits.order_notional_max
    if notional > most:
        draft = cap(draft, most / symbol.dear, Rule.ORDER_NOTIONAL.value, notional, most)
    return cap(draft, limits.order_quantity_max, Rule.ORDER_QUANTITY.value, abs(draft.order), limits.order_quantity_max)


@money
def spare(limits: Limits, symbol: Symbol, draft: Draft) -> Draft:
    """Cut an order that adds to its share of the last bar's volume and of the average."""
    most = fills.available(symbol.volume, limits.participation_max)
    draft = cap(draft, most, Rule.PARTICIPATION.value, abs(draft.order), most)
    most = fills.available(symbol.usual, limits.liquidity_max)
    return cap(draft, most, Rule.LIQUIDITY.value, abs(draft.order), most)


@money
def judge_order(limits: Limits, symbol: Symbol, draft: Draft, equity: float) -> Draft:
    """Return what is left of an order that adds, after everything that looks at one symbol alone."""
    draft = admit(limits, symbol, draft)
    if draft.order != draft.kept:
        draft = size(limits, symbol, draft, equity)
    if draft.order != draft.kept:
        draft = spare(limits, symbol, draft)
    return draft


@money
def finish(limits: Limits, draft: Draft, cut: Cut, closing: float, dear: float) -> Draft:
    """Cut one order to what the book allows and to whole lots, and drop it when it is too small to send."""
    if cut.factor < 1.0 and draft.order != draft.kept:
        left = draft.kept + cut.factor * (draft.order - draft.kept)
        draft = change(draft, left, cut.rule, cut.found, cut.limit)
    if draft.order != closing:
        order = fills.whole_lots(draft.order, limits.lot)
        draft = change(draft, order, draft.rule, draft.found, draft.limit)
        if order != 0.0 and not draft.forced and abs(order) * dear < limits.notional_min:
            return change(draft, 0.0, Rule.MIN_NOTIONAL.value, abs(order) * dear, limits.notional_min)
    return draft


@money
def outcome(draft: Draft, asked: float) -> int:
    """Return what became of one order, as a code of Outcome."""
    if draft.forced and draft.order != 0.0:
        return Outcome.FORCED.value
    if draft.order == 0.0:
        return Outcome.DENIED.value if asked != 0.0 else Outcome.NONE.value
    return Outcome.APPROVED.value if draft.rule == Rule.NONE else Outcome.REDUCED.value
