"""The exchange: one account, the orders it sent, and the bars that fill them.

Every change is an update with a number of its own, in the order in which it happened; the listener is told of each at once. Time
comes with what happens: `now` is the latest moment that was spoken of.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain import venue as venues
from domain.market import AssetClass
from domain.order import OrderClass, OrderKind, OrderState, TimeInForce
from domain.venue import INVALID, Ask, Leg, Refused, Side
from pipelines.execution import fills
from pipelines.execution.matching import auctions, prices
from pipelines.execution.matching.account import NAMESPACE, Account, Asset, Terms
from pipelines.execution.matching.amounts import times
from pipelines.execution.matching.prices import NOTHING, STOPS, Bar, Got, Quote
from pipelines.execution.matching.tickets import ZERO, Activity, Event, Execution, Ticket, Update

AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
#: Digits after the point of what is taken of a coin.
COIN_DIGITS = 9
#: Sessions of an ordinary year, by which a yearly borrow fee is shared out.
SESSIONS_A_YEAR = {AssetClass.EQUITY: Decimal(252), AssetClass.FX: Decimal(260), AssetClass.CRYPTO: Decimal(365)}
REPLACEABLE = frozenset({OrderState.NEW, OrderState.PARTIALLY_FILLED})
AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
#: How long an order may wait at its limit; the others are for one moment.
RESTS = frozenset({TimeInForce.DAY, TimeInForce.GTC})


class Exchange(Account):
    """An account at a paper exchange. Who listens hears of every update and every activity before a call returns."""

    def __init__(self, assets: Iterable[Asset], terms: Terms, now: datetime) -> None:
        super().__init__(assets, terms)
        self.now = now
        self.executions: list[Execution] = []
        self.sequence = 0
        self.curve: list[tuple[datetime, Decimal]] = []
        """What the account was worth whenever the market had moved, oldest first; the newest moment is still to come."""
        self.lived: dict[str, datetime] = {}
        """The close of each symbol's newest bar."""
        self.acted: dict[tuple[str, str], datetime | None] = {}
        """When the bar before the newest split, and payout, of each symbol closed, by symbol and kind."""
        self.closed_at: dict[AssetClass, datetime] = {}
        """When a session of each class of assets was ended last."""
        self.halted: set[str] = set()
        self.quotes: dict[str, Quote] = {}
        """Newest quotes; a symbol that has one trades by quotes, its bars only mark it."""
        self.listen(lambda update: None, lambda activity: None)

    def listen(self, tell: Callable[[Update], None], pay: Callable[[Activity], None]) -> None:
        """Tell somebody else of updates and activities from now on."""
        self._tell, self._pay = tell, pay

    # What a client asks

    def submit(self, ask: Ask) -> Ticket:
        """Take an order and its legs; raise Refused, with nothing changed, for one that cannot be taken."""
        asset = self.asset(ask.symbol)
        if not asset.tradable:
            raise Refused(INVALID, f"asset {ask.symbol} is not active")
        if ask.client_order_id is not None and ask.client_order_id in self.names:
            raise Refused(venues.MALFORMED, "client_order_id must be unique")
        venues.check(ask, asset.asset_class, asset.lot)
        if self.terms.calendar is not None and ask.time_in_force in AUCTIONS:
            auctions.check(ask.time_in_force, self.terms.calendar, self.now)
        if ask.order_class == OrderClass.OCO and ask.take_profit is not None:
            ask = replace(ask, kind=OrderKind.LIMIT, limit_price=ask.take_profit.limit_price)
        quantity = self.size_of(ask, asset)
        self.afford(ask, asset, quantity)
        ticket = self._enter(ask, quantity)
        if ask.order_class in {OrderClass.BRACKET, OrderClass.OTO}:
            ticket = self._attach(ticket, self._legs(ask, opposite=True), OrderState.HELD)
        elif ask.order_class == OrderClass.OCO:
            ticket = self._attach(ticket, [self._legs(ask, opposite=False)[-1]], OrderState.NEW)
        self._meet(ticket.id)
        return self.tickets[ticket.id]

    def cancel(self, order_id: str) -> None:
        """Cancel an order, and the legs that wait for it; raise Refused for one that has ended."""
        ticket = self.order(order_id)
        if not ticket.open:
            raise Refused(INVALID, f'order is already in "{ticket.state}" state')
        self._end(ticket, OrderState.CANCELED)

    def replace(
        self, order_id: str, *, client_order_id: str | None = None, quantity: Decimal | None = None, **changes: Any
    ) -> Ticket:
        """Put another order in the place of one, with what was filled of it taken off; raise Refused where that cannot be."""
        old = self.order(order_id)
        if old.state not in REPLACEABLE or old.ask.order_class == OrderClass.OTO:
            raise Refused(INVALID, f"cannot replace order in {old.state} state")
        if old.ask.notional is not None:
            raise Refused(INVALID, "notional orders cannot be replaced")
        if quantity is not None and (old.parent is not None or old.legs):
            raise Refused(INVALID, "only limit_price and stop_price of orders that belong together can be replaced")
        if client_order_id is not None and client_order_id in self.names:
            raise Refused(venues.MALFORMED, "client_order_id must be unique")
        size = (old.quantity if quantity is None else quantity) - old.filled
        if size <= 0:
            raise Refused(INVALID, f"qty must be > filled_qty {old.filled}")
        ask = replace(old.ask, client_order_id=client_order_id, quantity=size, notional=None, **changes)
        asset = self.asset(ask.symbol)
        venues.check(ask, asset.asset_class, asset.lot)
        self.afford(ask, asset, size, instead_of=old.id)
        new = self._enter(ask, size, replaces=old.id, parent=old.parent, legs=old.legs)
        self._change(old.become(OrderState.REPLACED, self.now, replaced_by=new.id), Event.REPLACED)
        self._adopt(old, new)
        self._meet(new.id)
        return self.tickets[new.id]

    # What the market does

    def on_bar(self, bar: Bar) -> None:
        """Live through one symbol's bar: fill what it fills, mark to its close, and end what ends with it."""
        self._advance(bar.opened_at)
        self._age(bar)
        quoted = bar.symbol in self.quotes
        if bar.symbol not in self.halted and not quoted:
            self._match(bar)
        self._advance(bar.event_at)
        self.lived[bar.symbol] = bar.event_at
        if bar.close > 0:
            self.marks[bar.symbol] = prices.exact(bar.close)
        for ticket in [self.tickets[each] for each in self.working[bar.symbol]]:
            if not quoted:
                self._trail(ticket, bar)
            now = self.tickets[ticket.id]
            if bar.last and now.open and now.ask.time_in_force in {TimeInForce.DAY, TimeInForce.CLS}:
                self._end(now, OrderState.EXPIRED)

    def on_quote(self, quote: Quote) -> None:
        """Mark a symbol to the middle of a quote, and let its open orders take what it offers, in time priority.

        From the first one on the symbol's orders meet the newest quote at once, up to the size that is left of it.
        """
        self.asset(quote.symbol)
        self.now = max(self.now, quote.at)
        self.quotes[quote.symbol] = quote
        if quote.bid > 0 and quote.ask > 0:
            self.marks[quote.symbol] = (quote.bid + quote.ask) / 2
        for each in list(self.working[quote.symbol]):
            self._meet(each)

    def close_session(self, ended: AssetClass) -> None:
        """End a session of a class of assets: its shorts pay their borrow, at their marks, and the account's worth is noted."""
        for symbol, held in sorted(self.holdings.positions.items()):
            asset = self.assets[symbol]
            year = prices.exact(asset.venue.rates.borrow_year)
            if asset.asset_class == ended and held.quantity < 0 and year:
                value = times(held.quantity, self.marks.get(symbol, held.average))
                self.charge("INT", times(value, year / SESSIONS_A_YEAR[ended]), symbol=symbol, description="borrow fee")
        self.last_equity, self.closed_at[ended] = self.worth().equity, self.now

    def charge(self, kind: str, amount: Decimal, *, symbol: str = "", quantity: Decimal = ZERO, description: str = "") -> Activity:
        """Move money, and shares where `quantity` says so, without a trade."""
        self.holdings.pay(amount)
        self.sequence += 1
        activity = Activity(self.sequence, kind, self.now, amount, symbol, quantity, description)
        self._emit(activity)
        return activity

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Make `ratio` shares of each: positions follow, a reverse split cancels open orders, a forward split adjusts them."""
        self.acted[symbol, "SPLIT"] = self.lived.get(symbol)
        for ticket in [self.tickets[each] for each in self.working[symbol]]:
            if ratio < 1 or ticket.ask.kind == OrderKind.TRAILING_STOP:
                self._end(ticket, OrderState.CANCELED)
            else:
                self._rescale(ticket, ratio)
        change = self.holdings.split(symbol, ratio)
        if symbol in self.marks:
            self.marks[symbol] /= ratio
        if change:
            self.charge("SPLIT", ZERO, symbol=symbol, quantity=change, description=f"{ratio} for 1")

    def dividend(self, symbol: str, per_share: Decimal) -> None:
        """Pay a dividend on what is held; who is short pays it."""
        self.acted[symbol, "DIV"] = self.lived.get(symbol)
        held = self.holdings.of(symbol).quantity
        if held:
            self.charge("DIV", times(held, per_share), symbol=symbol, description=f"{per_share} a share")

    def overnight(self, symbol: str, per_share: Decimal, ratio: Decimal) -> None:
        """Pay out and split what a symbol's next bar comes after, unless that was done: who is asked again may have been killed."""
        if per_share and not self._acted(symbol, "DIV"):
            self.dividend(symbol, per_share)
        if ratio != 1 and not self._acted(symbol, "SPLIT"):
            self.split(symbol, ratio)

    def _acted(self, symbol: str, kind: str) -> bool:
        """Say whether this was done to a symbol since its newest bar."""
        return (symbol, kind) in self.acted and self.acted[symbol, kind] == self.lived.get(symbol)

    def delist(self, symbol: str, price: Decimal | None = None) -> None:
        """End a symbol: its orders are cancelled, what is held is paid at `price` or the last one, no order is taken any more."""
        self.assets[symbol] = replace(self.asset(symbol), tradable=False)
        for each in list(self.working[symbol]):
            if self.tickets[each].open:
                self._end(self.tickets[each], OrderState.CANCELED)
        held = self.holdings.of(symbol)
        paid = self.marks.get(symbol, held.average) if price is None else price
        self.holdings.drop(symbol)
        if held.quantity:
            amount = times(held.quantity, paid)
            self.charge("REORG", amount, symbol=symbol, quantity=-held.quantity, description=f"delisted at {paid}")

    def rename(self, symbol: str, other: str) -> None:
        """Call a symbol by another: position, mark, quotes, halt and open orders go over to it, with the asset's identifier."""
        asset = self.asset(symbol)
        if other in self.assets:
            raise Refused(INVALID, f"asset {other} exists: {symbol} cannot be called so")
        self.assets[other] = replace(asset, symbol=other, origin=asset.origin or symbol)
        self.assets[symbol] = replace(asset, tradable=False, origin=f"{symbol} before it was {other}")
        self.holdings.rename(symbol, other)
        for table in (self.marks, self.quotes):
            if symbol in table:
                table[other] = table.pop(symbol)  # type: ignore[assignment]
        if symbol in self.halted:
            self.halted = self.halted - {symbol} | {other}
        self.working[other], self.working[symbol] = self.working[symbol], {}
        for each in self.working[other]:
            ticket = self.tickets[each]
            self.tickets[each] = replace(ticket, ask=replace(ticket.ask, symbol=other))
        self.charge("NC", ZERO, symbol=other, description=f"{symbol} is now {other}")

    def halt(self, symbol: str, *, halted: bool) -> None:
        """Halt a symbol, or let it trade again; while it is halted orders wait."""
        (self.halted.add if halted else self.halted.discard)(self.asset(symbol).symbol)

    # How it is done

    def _advance(self, at: datetime) -> None:
        """Let time pass, and note what the account was worth before it did."""
        if at > self.now:
            if self.lived:
                self.curve.append((self.now, self.worth().equity))
            self.now = at

    def _enter(self, ask: Ask, quantity: Decimal, state: OrderState = OrderState.NEW, **keys: Any) -> Ticket:
        self.sequence += 1
        order_id = str(uuid.uuid5(NAMESPACE, f"order {self.sequence}"))
        name = ask.client_order_id or str(uuid.uuid5(NAMESPACE, f"client {self.sequence}"))
        high = self.marks.get(ask.symbol) if ask.kind == OrderKind.TRAILING_STOP else None
        closes = self.holdings.of(ask.symbol).quantity * (1 if ask.side == Side.BUY else -1) < 0
        ticket = Ticket(
            order_id, name, ask, quantity, state, self.sequence, self.now, self.now, high_water=high, closes=closes, **keys
        )  # fmt: skip
        self.names[name] = order_id
        self.working[ask.symbol][order_id] = None
        self._change(ticket, Event.HELD if state == OrderState.HELD else Event.NEW)
        return ticket

    def _legs(self, ask: Ask, *, opposite: bool) -> list[Ask]:
        """Return the orders that leave a position: the target, then the stop."""
        side = ask.side if not opposite else Side.SELL if ask.side == Side.BUY else Side.BUY
        plain = replace(ask, side=side, client_order_id=None, order_class=OrderClass.SIMPLE, take_profit=None, stop_loss=None,
                        limit_price=None, stop_price=None, notional=None)  # fmt: skip
        return [_leg(plain, leg) for leg in (ask.take_profit, ask.stop_loss) if leg is not None]

    def _attach(self, parent: Ticket, asks: list[Ask], state: OrderState) -> Ticket:
        legs = tuple(
            self._enter(replace(ask, quantity=parent.quantity), parent.quantity, state, parent=parent.id).id for ask in asks
        )
        return self._keep(replace(self.tickets[parent.id], legs=legs))

    def _adopt(self, old: Ticket, new: Ticket) -> None:
        """Let the orders that belong to a replaced one belong to its successor."""
        for leg in old.legs:
            self._keep(replace(self.tickets[leg], parent=new.id))
        if old.parent is not None:
            parent = self.tickets[old.parent]
            self._keep(replace(parent, legs=tuple(new.id if leg == old.id else leg for leg in parent.legs)))

    def _age(self, bar: Bar) -> None:
        """Cancel what has waited for ninety days, before the bar could fill it."""
        for ticket in [self.tickets[each] for each in self.working[bar.symbol]]:
            if ticket.expires_at is not None and ticket.expires_at <= bar.opened_at and self.tickets[ticket.id].open:
                self._end(ticket, OrderState.CANCELED)

    def _match(self, bar: Bar) -> None:
        """Fill a symbol's orders in time priority, stops before targets, out of one share of the bar's volume."""
        most = fills.available(bar.volume, self.assets[bar.symbol].venue.participation_max)
        waiting = sorted(self.working[bar.symbol], key=lambda each: (self._is_target(each), self.tickets[each].sequence))
        entered = {each for each in waiting if self.tickets[each].state == OrderState.HELD}
        for each in waiting:
            # A leg that came to life within this bar may be hit by it, its target not: the bar may have been there before.
            if self.tickets[each].open and not (each in entered and self._is_target(each)):
                most -= self._try(self.tickets[each], bar, most)

    def _meet(self, order_id: str) -> None:
        """Let one order take what the newest quote of its symbol offers, if there is one."""
        ticket = self.tickets[order_id]
        quote = self.quotes.get(ticket.ask.symbol)
        if quote is None or not ticket.open or ticket.ask.symbol in self.halted:
            return
        got = self._try(ticket, moment := quote.moment(ticket.sign), moment.volume)
        if got:
            self.quotes[quote.symbol] = quote.less(ticket.sign, self.tickets[order_id].filled - ticket.filled)
        self._trail(ticket, moment)

    def _is_target(self, order_id: str) -> bool:
        ticket = self.tickets[order_id]
        return ticket.parent is not None and ticket.ask.kind == OrderKind.LIMIT

    def _try(self, ticket: Ticket, bar: Bar, most: float) -> float:
        """Fill what a bar fills of one order; return the quantity."""
        if ticket.state == OrderState.HELD or not bar.open > 0 or not self._in_turn(ticket, bar):
            return 0.0
        got = self._offer(ticket, bar, most)
        if got.quantity and not (ticket.ask.time_in_force == TimeInForce.FOK and got.quantity < ticket.left):
            self._fill(ticket, got)
        elif ticket.ask.kind in STOPS and prices.reached(ticket, bar) and not ticket.triggered:
            self._keep(replace(ticket, triggered=True))
        now = self.tickets[ticket.id]
        if now.open and now.ask.time_in_force in AT_ONCE | {TimeInForce.OPG}:
            self._end(now, OrderState.CANCELED)
        return float(got.quantity) if now.filled != ticket.filled else 0.0

    def _in_turn(self, ticket: Ticket, bar: Bar) -> bool:
        """Return whether an order takes part in this bar: one for an auction does in that alone."""
        # Bars of several markets overlap: what was sent while this one was under way must not have its open. Legs come with a fill.
        if ticket.parent is None and ticket.created_at + self.terms.latency > bar.opened_at:
            return False
        flags = {TimeInForce.OPG: bar.first, TimeInForce.CLS: bar.last}
        return flags.get(ticket.ask.time_in_force, True)

    def _offer(self, ticket: Ticket, bar: Bar, most: float) -> Got:
        kind, venue = ticket.ask.kind, self.assets[bar.symbol].venue
        venue = prices.as_quoted(venue) if bar.symbol in self.quotes else venue
        if kind in STOPS and not ticket.triggered and not prices.reached(ticket, bar):
            return NOTHING
        if ticket.ask.time_in_force == TimeInForce.CLS:
            bar = replace(bar, open=bar.close)
        if kind in {OrderKind.LIMIT, OrderKind.STOP_LIMIT}:
            return prices.at_limit(ticket, bar, most, venue, rests=ticket.ask.time_in_force in RESTS)
        return prices.at_market(ticket, prices.base(ticket, bar), bar, most, venue)

    def _fill(self, ticket: Ticket, got: Got) -> None:
        filled = ticket.filled + got.quantity
        average = ((ticket.average or ZERO) * ticket.filled + got.price * got.quantity) / filled
        whole = filled == ticket.quantity
        self.sequence += 1
        done = Execution(
            str(uuid.uuid5(NAMESPACE, f"execution {self.sequence}")), ticket.id, ticket.ask.symbol, ticket.ask.side, got.quantity,
            got.price, got.fee, filled, ticket.quantity - filled, self.now,
        )  # fmt: skip
        self.holdings.apply(done)
        self.executions.append(done)
        now = ticket.become(
            OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED, self.now, filled=filled, average=average,
            filled_at=self.now if whole else None, triggered=ticket.triggered or ticket.ask.kind in STOPS,
        )  # fmt: skip
        self._change(now, Event.FILL if whole else Event.PARTIAL_FILL, done)
        if got.fee:
            self._take_fee(done)
        self._after_fill(now, got.quantity)

    def _take_fee(self, done: Execution) -> None:
        """Charge an execution's fee, in cash or of the coins that it bought."""
        crypto, coins = self.assets[done.symbol].asset_class == AssetClass.CRYPTO, round(done.fee / done.price, COIN_DIGITS)
        if crypto and done.signed > 0 and self.terms.fee_in_coin:
            self.holdings.take(done.symbol, coins)
            self.charge("CFEE", ZERO, symbol=done.symbol, quantity=-coins, description=done.id)
        else:
            self.charge("CFEE" if crypto else "FEE", -done.fee, symbol=done.symbol, description=done.id)

    def _after_fill(self, ticket: Ticket, quantity: Decimal) -> None:
        """Bring the legs of a filled entry to life; take off a leg's partner what the leg has filled."""
        if ticket.state == OrderState.FILLED:
            for leg in (self.tickets[each] for each in ticket.legs):
                if leg.state == OrderState.HELD:
                    high = self.marks.get(leg.ask.symbol) if leg.ask.kind == OrderKind.TRAILING_STOP else None
                    self._change(leg.become(OrderState.NEW, self.now, high_water=high), Event.NEW)
        for partner in self._partners(ticket):
            left = partner.quantity - quantity
            if left <= partner.filled:
                self._end(partner, OrderState.CANCELED)
            else:
                self._keep(replace(partner, quantity=left))

    def _partners(self, ticket: Ticket) -> list[Ticket]:
        """Return the open orders of which one cancels the other."""
        if ticket.ask.order_class == OrderClass.OCO:
            ids: tuple[str, ...] = ticket.legs
        elif ticket.parent is None:
            return []
        else:
            parent = self.tickets[ticket.parent]
            ids = (parent.id,) if parent.ask.order_class == OrderClass.OCO else parent.legs
        return [self.tickets[each] for each in ids if each != ticket.id and self.tickets[each].open]

    def _trail(self, ticket: Ticket, bar: Bar) -> None:
        """Move a trailing stop's mark after the bar."""
        now = self.tickets[ticket.id]
        if now.open and now.ask.kind == OrderKind.TRAILING_STOP and now.state != OrderState.HELD:
            best = prices.exact(bar.high if now.sign < 0 else bar.low)
            better = now.high_water is None or (best - now.high_water) * -now.sign > 0
            if better:
                self._keep(replace(now, high_water=best))

    def _end(self, ticket: Ticket, state: OrderState) -> None:
        """End an order, and with an entry that filled nothing the legs that wait for it; an OCO ends together."""
        event = {OrderState.CANCELED: Event.CANCELED, OrderState.EXPIRED: Event.EXPIRED}[state]
        self._change(ticket.become(state, self.now), event)
        for leg in (self.tickets[each] for each in ticket.legs):
            if leg.open and (leg.state == OrderState.HELD or ticket.ask.order_class == OrderClass.OCO):
                self._change(leg.become(state, self.now), event)

    def _rescale(self, ticket: Ticket, ratio: Decimal) -> None:
        ask = ticket.ask
        changed = {
            name: (price / ratio).quantize(venues.CENT)
            for name in ("limit_price", "stop_price") if (price := getattr(ask, name)) is not None
        }  # fmt: skip
        self._keep(replace(
            ticket, ask=replace(ask, **changed), quantity=ticket.quantity * ratio, filled=ticket.filled * ratio,
            average=None if ticket.average is None else ticket.average / ratio,
        ))  # fmt: skip

    def _keep(self, ticket: Ticket) -> Ticket:
        self.tickets[ticket.id] = ticket
        if not ticket.open:
            self.working[ticket.ask.symbol].pop(ticket.id, None)
        return ticket

    def _emit(self, told: Update | Activity) -> None:
        """Tell the listener of what has happened."""
        if isinstance(told, Update):
            self._tell(told)
        else:
            self._pay(told)

    def _change(self, ticket: Ticket, event: Event, done: Execution | None = None) -> None:
        self._keep(ticket)
        self.sequence += 1
        position = self.holdings.of(ticket.ask.symbol).quantity
        self._emit(Update(self.sequence, event, ticket, self.now, done, position))


def _leg(plain: Ask, leg: Leg) -> Ask:
    """Return the order that a leg becomes."""
    if leg.stop_price is None:
        return replace(plain, kind=OrderKind.LIMIT, limit_price=leg.limit_price)
    kind = OrderKind.STOP if leg.limit_price is None else OrderKind.STOP_LIMIT
    return replace(plain, kind=kind, stop_price=leg.stop_price, limit_price=leg.limit_price)
