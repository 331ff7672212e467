"""Exposure: what a whole book comes to at worst, and what its limits leave of the orders that add to it."""

import math
from typing import NamedTuple

from domain.compiled import money
from domain.decision import Rule
from domain.panel import FloatArray
from pipelines.execution.conditions import BUYING_POWER, OTHER_BOUGHT, OTHER_GROSS, OTHER_NET, OTHER_SOLD, Conditions
from pipelines.execution.fills import Book
from pipelines.execution.limits import Limits
from pipelines.execution.verdicts import Verdicts


class Cut(NamedTuple):
    """What the limits of the whole book leave of the additions of one side."""

    factor: float
    rule: int
    found: float
    limit: float


class Totals(NamedTuple):
    """Sums over a book, in account currency, positive but for `net`; each order counts as filled only where that is the worse."""

    gross: float
    """Positions, with every working order that makes one larger."""
    pending: float
    """The part of it that working orders would add."""
    net: float
    """Positions alone, longs less shorts."""
    bought: float
    """Working buys."""
    sold: float
    """Working sells."""
    covers: float
    """The part of new buys that only closes shorts."""
    closes: float
    """The part of new sells that only closes longs."""
    buys: float
    """What new buys add beyond that."""
    sells: float
    """What new sells add beyond that."""


@money
def priced(mark: float, working_price: float, price: float) -> float:
    """Return the price at which a symbol counts: its mark, or what any of its orders may cost where that is known to be more."""
    # `max` keeps the first where another is not a number.
    return max(mark, working_price, price)


@money
def worst(held: float, buying: float, selling: float) -> float:
    """Return the largest size that a position can have after any of its working orders have filled."""
    if buying == 0.0 and selling == 0.0:
        return abs(held)
    if math.isnan(buying) or math.isnan(selling):
        return math.nan
    return max(abs(held), abs(held + buying), abs(held - selling))


@money
def add_up(book: Book, conditions: Conditions, out: Verdicts) -> Totals:
    """Return the totals of a book and of the orders as they stand."""
    gross, pending, net, bought, sold, covers, closes, buys, sells = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(len(out.order)):
        held, buying, selling = book.quantity[s], conditions.buying[s], conditions.selling[s]
        added = out.order[s] - out.kept[s]
        if held == 0.0 and added == 0.0 and buying == 0.0 and selling == 0.0:
            continue
        price = priced(book.mark[s], conditions.working_price[s], conditions.price[s])
        if buying != 0.0 or selling != 0.0:
            pending += (worst(held, buying, selling) - abs(held)) * price
            bought += buying * price
            sold += selling * price
        if held != 0.0 or buying != 0.0 or selling != 0.0:
            gross += worst(held, buying, selling) * price
            net += held * book.mark[s] if held != 0.0 else 0.0
            covers += max(out.kept[s], 0.0) * price
            closes -= min(out.kept[s], 0.0) * price
        if added > 0.0:
            buys += added * price
        elif added < 0.0:
            sells -= added * price
    return Totals(gross, pending, net, bought, sold, covers, closes, buys, sells)


@money
def share(used: float, added: float, most: float) -> float:
    """Return the share of `added` that has room beside `used` within `most`; none where one of them is not a number."""
    if used + added <= most:
        return 1.0
    room = most - used
    return room / added if room > 0.0 else 0.0


@money
def fit(cut: Cut, used: float, added: float, most: float, rule: int, equity: float) -> Cut:
    """Return `cut`, made smaller when the additions, with `used` taken already, would exceed `most` (account currency)."""
    if added == 0.0 or used + added <= most:
        return cut
    factor = share(used, added, most)
    if equity > 0.0:
        return Cut(cut.factor * factor, rule, (used + added) / equity, most / equity)
    return Cut(0.0, rule, used + added, most)


@money
def cut_sectors(limits: Limits, book: Book, conditions: Conditions, worth: float, out: Verdicts) -> None:
    """Cut the additions of each sector in proportion to what its gross leaves."""
    count = len(out.order)
    used, added = conditions.sector_used, conditions.sector_added
    used[:], added[:] = 0.0, 0.0
    for s in range(count):
        place, price = sector(conditions.sector[s], count), priced(book.mark[s], conditions.working_price[s], conditions.price[s])
        size = worst(book.quantity[s], conditions.buying[s], conditions.selling[s])
        used[place] += size * price if size != 0.0 else 0.0
        added[place] += abs(out.order[s] - out.kept[s]) * price if out.order[s] != out.kept[s] else 0.0
    most = limits.sector_gross_max * worth
    for s in range(count):
        place, opening = sector(conditions.sector[s], count), out.order[s] - out.kept[s]
        if opening != 0.0 and not used[place] + added[place] <= most:
            unit = worth if worth > 0.0 else 1.0
            out.order[s] = out.kept[s] + share(used[place], added[place], most) * opening
            out.rule[s], out.found[s], out.limit[s] = Rule.SECTOR_GROSS.value, (used[place] + added[place]) / unit, most / unit


@money
def sector(code: int, count: int) -> int:
    """Return the place of a sector in tables of all: 0 is that of every symbol whose sector is unknown."""
    return code + 1 if 0 <= code < count else 0


@money
def spendable(limits: Limits, account: FloatArray) -> float:
    """Return the share of the broker's buying power that may be taken; a share of zero is zero, however much there is."""
    return limits.buying_power_max * account[BUYING_POWER] if limits.buying_power_max > 0.0 else 0.0


@money
def check(limits: Limits, book: Book, conditions: Conditions, equity: float, calm: float, out: Verdicts) -> tuple[Cut, Cut, float]:
    """Return what the limits of the whole book leave of the additions of buys and of sells, and the account's gross at worst.

    The additions of sectors that are too large are cut on the way. `calm` is the part of `gross_max` that volatility leaves.
    """
    worth, account = max(equity, 0.0), conditions.account
    all_of = add_up(book, conditions, out)
    # No sector is larger than the book.
    if not all_of.gross + (all_of.buys + all_of.sells) <= limits.sector_gross_max * worth:
        cut_sectors(limits, book, conditions, worth, out)
        all_of = add_up(book, conditions, out)
    buys, sells, gross, net = all_of.buys, all_of.sells, all_of.gross + account[OTHER_GROSS], all_of.net + account[OTHER_NET]
    swing, most = (Rule.VOLATILITY.value if calm < 1.0 else Rule.GROSS.value), limits.market_gross_max * worth
    both = fit(Cut(1.0, Rule.NONE.value, 0.0, 0.0), all_of.gross, buys + sells, most, Rule.MARKET_GROSS.value, worth)
    both = fit(both, gross, both.factor * (buys + sells), calm * limits.gross_max * worth, swing, worth)
    both = fit(both, gross, both.factor * (buys + sells), limits.leverage_max * worth, Rule.LEVERAGE.value, worth)
    most = limits.net_max * worth
    longer, shorter = all_of.covers + all_of.bought + account[OTHER_BOUGHT], all_of.closes + all_of.sold + account[OTHER_SOLD]
    buy = fit(both, net + longer, both.factor * buys, most, Rule.NET.value, worth)
    sell = fit(both, shorter - net, both.factor * sells, most, Rule.NET.value, worth)
    added, most = buy.factor * buys + sell.factor * sells, spendable(limits, account)
    buy = fit(buy, all_of.pending, added, most, Rule.BUYING_POWER.value, worth)
    sell = fit(sell, all_of.pending, added, most, Rule.BUYING_POWER.value, worth)
    added, most = buy.factor * buys + sell.factor * sells, limits.turnover_max * worth
    used = all_of.covers + all_of.closes + all_of.bought + all_of.sold
    buy, sell = fit(buy, used, added, most, Rule.TURNOVER.value, worth), fit(sell, used, added, most, Rule.TURNOVER.value, worth)
    return buy, sell, gross
