"""The oracle: what must hold after every step, and what must have come true once all faults have ended.

It knows the broker's ledger and what the store kept, and adds them up by itself. Numbers in brackets name the invariants.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from domain.decision import Mode
from domain.order import TERMINAL
from pipelines.execution.core.events import Asked, BarClosed, Decided, Event
from pipelines.execution.core.hand import HAND
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel, Plan, Submit
from pipelines.journal import Record
from tests.simulation import world as worlds
from tests.simulation.world import CAPITAL, PARAMS, SYMBOLS, Unwritable, World

#: What the account may differ by from the broker's: money is compared to the cent.
CENT = Decimal("0.005")
#: How long a position that nothing explains may be taken for one that lags.
DOUBT_NS = 40 * 10**9
#: How long after a halt every order must have been asked to end.
KILL_NS = 3 * 10**9
#: Kinds of charges that move what is held, in nobody's name.
MOVING = frozenset({"SPLIT", "CFEE", "fee_in_kind"})
#: What the account may be worth more or less from one step to the next: prices move by less than a hundredth from bar to bar.
WORTH_STEP = 0.05
#: How long after a charge the account must have been read: every minute, and a little for the reading itself.
READ_NS = 65 * 10**9


class Broken(Exception):
    """An invariant does not hold."""


@dataclass
class Written:
    """What the store says in sum, read commit by commit."""

    commits: int = 0
    intents: dict[str, int] = field(default_factory=dict)
    """Client order id -> the bar it was decided at, microseconds."""
    bars: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Orders by symbol and bar."""
    fills: Counter[tuple[str, str]] = field(default_factory=Counter)
    charges: Counter[str] = field(default_factory=Counter)
    held: dict[str, Decimal] = field(default_factory=dict)
    cash: Decimal = CAPITAL
    forced: set[str] = field(default_factory=set)
    """Orders by which the gate closes positions."""
    unwanted: dict[str, int] = field(default_factory=dict)
    """Orders that a person wants cancelled, and since when that is written."""
    latched: bool = False

    def read(self, world: World) -> None:
        """Take in what was written since."""
        for commit in world.store.commits[self.commits :]:
            for place, record in enumerate(commit.records):
                self.latched = {"halt": True, "resume": False}.get(record.kind, self.latched)
                if record.kind == "fill":
                    self._fill(record.payload)
                if record.kind == "verdict" and "cancel" in record.payload:
                    self.unwanted.setdefault(record.payload["cancel"], world.now_ns)
                if record.kind == "charge":
                    self.charges[record.payload["identity"]] += 1
                    self.cash += Decimal(record.payload["amount"])
                    self._resize(record)
                if record.kind == "intent" and "client_order_id" in record.payload:
                    self._by_hand(record)
                elif record.kind == "intent":
                    later = (each.payload for each in commit.records[place:] if each.kind == "bar")
                    bar = next(later, None)
                    require(bar is not None, "intents were written without their bar")
                    self._intend(record.payload, bar["market"], bar["event_at_us"])
        self.commits = len(world.store.commits)

    def _intend(self, payload: dict[str, Any], market: str, at: int) -> None:
        stamp = np.datetime_as_string(np.datetime64(at, "us"), unit="s")
        for symbol, quantity, outcome in zip(payload["symbol"], payload["quantity"], payload["outcome"], strict=True):
            name = f"{market}:{payload['model']}:{stamp}:{symbol}"
            if quantity != 0.0:
                self.intents[name] = at
                self.bars[symbol, at] += 1
            if outcome == "forced":
                self.forced.add(name)

    def _by_hand(self, record: Record) -> None:
        """Take in an order that a person asked for or agreed to; what is sent while halted reduces, and is spared by the halt."""
        name, quantity = record.payload["client_order_id"][0], record.payload["quantity"][0]
        require(record.actor == "operator", "an order of a person's is not written in their name")
        if quantity != 0.0:
            require(name not in self.intents, "an answer led to two orders [I-03]")
            self.intents[name] = record.event_at_ns // 1000
            if self.latched:
                self.forced.add(name)

    def _resize(self, record: Record) -> None:
        """Take in what a charge did to a holding: a person does that, a split, and a fee in coins."""
        symbol, change = record.payload["symbol"], Decimal(record.payload["quantity"])
        known = record.actor == "operator" or record.payload["kind"] in MOVING
        require(not change or known, "a holding was corrected in nobody's name")
        self.held[symbol] = self.held.get(symbol, Decimal(0)) + change

    def _fill(self, payload: dict[str, Any]) -> None:
        names = ("client_order_id", "cumulative", "symbol", "quantity", "price", "fee")
        for name, cumulative, symbol, quantity, price, fee in zip(*(payload[name] for name in names), strict=True):
            size = Decimal(repr(quantity))
            self.fills[name, cumulative] += 1
            self.held[symbol] = self.held.get(symbol, Decimal(0)) + size
            self.cash -= size * Decimal(repr(price)) + Decimal(repr(fee))


class Oracle:
    """Remembers what a step may not take back."""

    def __init__(self) -> None:
        self.written = Written()
        self.truth: set[tuple[str, str]] = set()
        self.steps, self.life = 0, 0
        self.filled: dict[str, Decimal] = {}
        self.ended: set[str] = set()
        self.halted_ns = self.born_ns = 0
        self.halves: set[str] = set()
        """Symbols that have been split."""
        self.worth, self.worthy_life, self.unknown, self.fills = float(CAPITAL), 0, False, 0

    def __call__(self, world: World, event: Event, plan: Plan) -> None:
        """Check what must hold always; raise Broken."""
        core = world.core
        assert core is not None
        self.steps += 1
        self.halves = {symbol for _, symbol, _ in world.splits}
        self.written.read(world)
        self._worth(world, core)
        self._orders(world, core)
        self._money(world, core)
        self._gate(world, core, event, plan)
        self._closing(core, event, plan)
        self._kill(world, core, plan)
        self._wishes(world, core, plan)
        for symbol, made, wanted in world.strange.followed:
            require(made == wanted, f"{symbol} was corrected by {made}, and {wanted} of it were moved [I-14]")
        world.strange.followed.clear()
        if plan.records and self.steps % 7 == 0:
            self._restart(world, core)

    def _orders(self, world: World, core: Core) -> None:
        written = self.written
        require(len(world.broker.posts) == len(set(world.broker.posts)), "an order was sent twice [I-03]")
        require(len(world.sent) == len(set(world.sent)), "an order left the process twice [I-03]")
        require(set(world.sent) <= written.intents.keys(), "an order was sent that no durable record intends [I-02]")
        require(max(written.bars.values(), default=0) <= 1, "a bar led to two orders for one symbol [I-08, I-26]")
        # A crash may take back what was not written, and nothing else may.
        known = {**core.desk.orders, **core.desk.ended}
        self.born_ns = self.born_ns if self.life == world.life else world.now_ns
        over = self.ended if self.life == world.life else set()
        self.ended = {name for name, each in known.items() if each.ended and not each.absent}
        require(all(name in self.ended for name in over & known.keys()), "an order that had ended goes on [I-06]")
        before = self.filled if self.life == world.life else {}
        self.life, self.filled = world.life, {name: each.filled for name, each in known.items()}
        for name, each in known.items():
            require(self.filled[name] >= before.get(name, 0), "a fill was taken back [I-06]")
            require(each.by_value or self.filled[name] <= abs(each.quantity), "more was filled than ordered [I-07]")
            require(each.reserved >= 0, "a reservation is negative [I-17]")
            require(not each.settled or each.reserved == 0, "an order that has ended reserves something [I-17]")
            held = world.broker.orders.get(name)
            if held is not None and held.state not in TERMINAL:
                # What a value buys is known by the newest price alone.
                left = abs(held.quantity) * (Decimal("0.8") if held.notional else 1) - held.filled
                # What a split made of it is on its way, and so is the price by which a value buys.
                if held.symbol in self.halves:
                    left = Decimal(0) if held.notional else min(left, abs(each.quantity))
                require(not each.ended, f"{name} counts as ended and works [I-04]")
                require(each.reserved >= left, f"{name} may still fill {left} and reserves {each.reserved} [I-18]")

    def _money(self, world: World, core: Core) -> None:
        written = self.written
        require(max(written.fills.values(), default=0) <= 1, "a fill was booked twice [I-13]")
        require(max(written.charges.values(), default=0) <= 1, "a charge was booked twice [I-13]")
        if len(self.truth) != len(world.broker.ledger):
            self.truth = {(done.client_order_id, str(done.cumulative)) for done in world.broker.ledger}
        require(written.fills.keys() <= self.truth, "a fill was booked that the broker's ledger does not hold [I-13]")
        held = {symbol: size for symbol, size in written.held.items() if size}
        require(core.desk.holdings == held, "positions are not the sum of the fills written [I-14]")
        require(core.desk.cash == written.cash, "cash is not what the fills written leave of it [I-15]")
        for seat in core.seats.values():
            for symbol, s in seat.places.items():
                require(seat.trader.book.quantity[s] == float(held.get(symbol, 0)), "the compiled book is not the account [I-31]")
            require(seat.trader.book.cash[0] == float(written.cash), "the compiled book's cash is not the account's [I-31]")

    def _worth(self, world: World, core: Core) -> None:
        """Prices move little from step to step, and a split moves nothing."""
        told = {charge.identity for charge in world.broker.charges if charge.quantity} | {each.identity for each in world.untold}
        if not told <= self.written.charges.keys():
            self.unknown = True  # what is held is not known in full
            return
        before, self.worth = self.worth, core.equity
        # What was filled while nobody knew of a split was paid for at another price than it was counted at.
        traded = self.unknown and self.fills != len(self.written.fills)
        calm = not world.faults & {"plunges", "busted"} and self.worthy_life == world.life and not traded
        self.worthy_life, self.unknown, self.fills = world.life, False, len(self.written.fills)
        require(
            not calm or abs(self.worth / before - 1) < WORTH_STEP, "the account is worth something else from one step to the next"
        )

    def _gate(self, world: World, core: Core, event: Event, plan: Plan) -> None:
        require(core.halted == self.written.latched, "the kill latch is not where the records put it [I-20]")
        submits = [request for request in plan.requests if isinstance(request, Submit)]
        if not submits:
            return
        require(isinstance(event, BarClosed | Asked | Decided), "an order came of neither a bar nor a person")
        ours = any(isinstance(event, BarClosed) and request.order.client_order_id not in self.written.forced for request in submits)
        require(not ours or core.proposals.mode == Mode.AUTONOMOUS, "an order was sent that a person was to be asked about")
        known = world.read and world.connected
        doubtful = world.strange.known_ns and world.now_ns - world.strange.known_ns > DOUBT_NS
        require(world.compared, "an order was sent before the account was read [I-22]")
        marks = marks_of(core)
        for request in submits:
            order, held = request.order, core.desk.holdings.get(request.order.symbol, Decimal(0))
            mark, adds = marks[order.symbol], abs(held + request.quantity) > abs(held)
            require(not adds or (math.isfinite(mark) and mark > 0), "something was opened without a price [I-21]")
            require(known or not adds, "something was opened before the account was known [I-22]")
            require(not (doubtful and adds), "something was opened while the broker holds what nothing explains [I-16]")
            doubted = doubtful and order.symbol in world.strange.told and world.strange.sizes.get(order.symbol)
            require(not doubted, "a position was traded of which the broker holds what nothing explains [I-16]")
            require(not (core.halted and adds), "an order opened something while halted [I-19]")
            require(not (adds and order.symbol in world.untradable), "something was opened that is not traded now [I-22]")
            require(
                order.model_version in {str(world.versions[order.market]), HAND},
                "an order is of a model that trades no more [I-27]",
            )
            others = [each for each in core.desk.orders.values() if each.order.symbol == order.symbol and each.order is not order]
            require(not others, "a second order for a symbol whose first may still fill [I-09]")
        adding = [r for r in submits if abs(core.desk.holdings.get(r.order.symbol, Decimal(0)) + r.quantity)
                  > abs(core.desk.holdings.get(r.order.symbol, Decimal(0)))]  # fmt: skip
        if adding:
            self._worst(core, {request.quantity > 0 for request in adding})
        if isinstance(event, BarClosed):
            forecast = event.forecast[:, 2]
            require(not (adding and np.isnan(forecast).all()), "something was opened without a forecast [I-21]")
            age_ns = plan.at.ns - int(event.bar.event_at[0].astype("datetime64[us]").astype(np.int64)) * 1000
            late = age_ns > core.desk.patience.late_ns
            require(not (adding and late), "something was opened on a bar of long ago [F30]")
            require(age_ns >= -core.desk.patience.early_ns, "a bar of the future was traded [F38]")

    def _worst(self, core: Core, buys: set[bool]) -> None:
        """Add up what the account would hold if all that works filled the wrong way; `buys` are the sides that were added to."""
        marks = {symbol: Decimal(mark) if math.isfinite(mark) else Decimal(0) for symbol, mark in marks_of(core).items()}
        gross, up, down = Decimal(0), Decimal(0), Decimal(0)
        for symbol, mark in marks.items():
            held = core.desk.holdings.get(symbol, Decimal(0))
            open_ = [each for each in core.desk.orders.values() if each.order.symbol == symbol]
            bought = sum((each.reserved for each in open_ if each.quantity > 0), Decimal(0))
            sold = sum((each.reserved for each in open_ if each.quantity < 0), Decimal(0))
            gross += max(abs(held + bought), abs(held - sold)) * mark
            up, down = up + (held + bought) * mark, down - (held - sold) * mark
        equity = float(core.desk.cash) + sum(float(held) * float(marks[symbol]) for symbol, held in core.desk.holdings.items())
        most = equity * (1 + 1e-9)
        require(float(gross) <= PARAMS.risk.gross_max * most, "what works could exceed the limit on gross [I-18]")
        for side, net in ((True, up), (False, down)):
            require(side not in buys or float(net) <= PARAMS.risk.net_max * most, "what works could exceed the limit on net [I-18]")

    def _closing(self, core: Core, event: Event, plan: Plan) -> None:
        """Add up what would be held over the hours to come once what was sent has filled; whose order works has to wait."""
        if not isinstance(event, BarClosed) or not core.ready or core.halted or math.isinf(event.closing):
            return
        stamp, seat = int(event.bar.event_at[0].astype("datetime64[us]").astype(np.int64)), core.seats[event.bar.market]
        sent = {each.order.symbol: float(each.quantity) for each in plan.requests if isinstance(each, Submit)}
        bars = [(record.payload["market"], record.payload["event_at_us"]) for record in plan.records[-1:] if record.kind == "bar"]
        if bars != [(event.bar.market, stamp)]:  # it was not lived through
            return
        gross, equity = 0.0, core.equity
        for symbol, place in seat.places.items():
            others = [each for each in core.desk.orders.values() if each.order.symbol == symbol]
            if len(others) == (symbol in sent):
                held, mark = float(core.desk.holdings.get(symbol, 0)), seat.trader.book.mark[place]
                gross += abs(held + sent.get(symbol, 0.0)) * (mark if mark > 0 else seat.trader.book.average[place])
                gross -= float(seat.lot) * mark if mark > 0 else 0.0
        require(gross <= event.closing * equity, "more is held over the hours in which nothing trades than may be [I-18]")

    def _kill(self, world: World, core: Core, plan: Plan) -> None:
        """Hold a halt to its word: a cancel of every order that can be named, as soon as it can be."""
        self.halted_ns = (self.halted_ns or world.now_ns) if core.halted and self.life == world.life else 0
        if self.halted_ns and world.now_ns - self.halted_ns > KILL_NS:
            asked = world.cancelled | {each.client_order_id for each in plan.requests if isinstance(each, Cancel)}
            named = {name for name, each in core.desk.orders.items() if each.broker_id and not each.foreign and not each.ended}
            spared = named - asked - self.written.forced
            require(not spared, f"halted, and nobody asked to cancel {spared} [I-37]")

    def _wishes(self, world: World, core: Core, plan: Plan) -> None:
        """Hold a person's cancel to its word, and let nothing else cancel what they ordered."""
        for market, name in world.swept:
            ours = core.desk.known(name)
            require(ours is None or ours.unwanted or ours.order.market == market, "a bar cancelled another market's order")
        world.swept.clear()
        halted = core.halted or any(record.kind == "halt" for record in plan.records)
        asked = {request.client_order_id for request in plan.requests if isinstance(request, Cancel)}
        for name in asked:
            working = core.desk.known(name)
            ours = working is not None and working.order.model_version == HAND
            require(not ours or halted or name in self.written.unwanted, f"{name} was cancelled by nobody's word")
        for name, since_ns in self.written.unwanted.items():
            working = core.desk.orders.get(name)
            late = world.now_ns - max(since_ns, self.born_ns) > KILL_NS and name not in asked | world.cancelled
            require(not (late and working is not None and working.broker_id and not working.foreign and not working.ended),
                    f"a person wanted {name} cancelled, and nobody asked for it [I-37]")  # fmt: skip

    def _restart(self, world: World, core: Core) -> None:
        again = world.store.restored(Core(world.traded, CAPITAL), world.moment)
        require(again.desk.holdings == core.desk.holdings and again.desk.cash == core.desk.cash, "a restart loses money [I-31]")
        booked = {name: each.booked for name, each in (core.desk.orders | core.desk.ended).items()}
        found = {name: each.booked for name, each in (again.desk.orders | again.desk.ended).items()}
        require(booked.items() <= found.items(), "a restart forgets fills [I-31]")
        require(again.desk.orders.keys() == core.desk.orders.keys(), "a restart forgets what may still be filled [I-31]")
        for name, each in core.desk.orders.items():
            there = again.desk.orders[name]
            require(there.reserved == each.reserved and there.order.symbol == each.order.symbol, "a restart frees what is reserved")
            require((there.forced, there.unwanted) == (each.forced, each.unwanted), "a restart forgets what people want [I-31]")
        require(again.halted == core.halted, "a restart forgets the kill latch [I-20]")
        lived = {name: (seat.bars, seat.last_us) for name, seat in core.seats.items()}
        require({name: (seat.bars, seat.last_us) for name, seat in again.seats.items()} == lived, "a restart forgets a bar [I-26]")


def marks_of(core: Core) -> dict[str, float]:
    """Return the newest price of each symbol."""
    return {symbol: float(place.book.mark[place.row]) for symbol, place in core.desk.places.items()}


def require(holds: bool, sentence: str) -> None:
    """Raise Broken unless something holds."""
    if not holds:
        raise Broken(sentence)


def converged(world: World, written: Written) -> None:
    """Raise Broken unless the world has come to rest: everything known, everything equal, and trading again."""
    core = world.core
    require(core is not None, "the process is not up")
    assert core is not None
    require(core.ready, "the trader is not ready long after the last fault [I-36]")
    require(not worlds.unresolved(world), f"nothing is known of {worlds.unresolved(world)} long after the last fault [I-36, I-38]")
    busy = core.desk.busy()
    truth = world.broker.positions()
    for symbol in SYMBOLS:
        if symbol not in busy:
            ours, theirs = core.desk.holdings.get(symbol, Decimal(0)), truth.get(symbol, Decimal(0))
            require(ours == theirs, f"{ours} of {symbol} are held here and {theirs} at the broker [I-16]")
    settled = {(done.client_order_id, str(done.cumulative)) for done in world.broker.ledger if done.symbol not in busy}
    require(settled <= written.fills.keys(), "a fill of the broker's ledger was never booked [I-13]")
    unread = [charge for charge in world.broker.charges if charge.identity not in written.charges]
    require(all(world.now_ns - charge.event_at_ns < READ_NS for charge in unread), "a charge was never booked [I-13]")
    if not busy:
        expected = core.desk.cash + sum((charge.amount for charge in unread), Decimal(0))
        require(abs(expected - world.broker.cash) < CENT, "cash differs from the broker's [I-16]")
    require(not core.halted, "the trader is halted although it was told to go on")
    healed_us = (worlds.EPOCH_NS + worlds.SAFETY_BARS * worlds.MINUTE) // 1000
    require(any(at > healed_us for at in written.intents.values()), "no signal led to an order after the last fault [I-36]")


def lived(seed: int) -> World:
    """Live through a world and return it; raise Broken, with the seed, when an invariant does not hold or a record has no JSON."""
    judge = Oracle()
    world = World(seed, judge)
    try:
        world.play()
        converged(world, judge.written)
    except (Broken, Unwritable) as problem:
        raise Broken(f"seed {seed}: {problem}") from None
    return world
