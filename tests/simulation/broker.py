"""The broker of the simulated world: the truth, in a ledger of its own, and nothing about how news of it travels."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from domain.order import TERMINAL, OrderState
from pipelines.execution.core.events import Charge, Execution, Report

CENT = Decimal("0.01")
FEE = Decimal("0.0005")
#: The part of a position of coins that a fee takes.
IN_COINS = Decimal("0.0025")


@dataclass
class Held:
    """An order as the broker has it."""

    client_order_id: str
    broker_id: str
    symbol: str
    quantity: Decimal
    state: OrderState = OrderState.NEW
    filled: Decimal = Decimal(0)
    ended_ns: int = 0
    notional: Decimal = Decimal(0)
    """What it was ordered for, where that was a value."""

    @property
    def report(self) -> Report:
        """Return what the broker would say of it now."""
        if self.notional:
            filled = self.filled.copy_sign(self.quantity)
            return Report(self.client_order_id, self.broker_id, self.symbol, filled, self.state, self.filled, self.notional)
        return Report(self.client_order_id, self.broker_id, self.symbol, self.quantity, self.state, self.filled)


@dataclass
class Moment:
    """Positions and cash as they were, for reads that lag."""

    ns: int
    positions: dict[str, Decimal]
    cash: Decimal


@dataclass
class Broker:
    """Accepts, fills and cancels; `tell` hears of every change, in the order in which it happened."""

    chance: random.Random
    cash: Decimal
    prices: dict[str, Decimal]
    tell: Callable[[Report, Execution | None], None]
    orders: dict[str, Held] = field(default_factory=dict)
    posts: list[str] = field(default_factory=list)
    """Client order ids as they arrived, whatever became of them."""
    ledger: list[Execution] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    """One for each execution: its fee, which no execution tells of; and a great loss now and then."""
    history: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history.append(Moment(0, {}, self.cash))

    def submit(
        self, client_order_id: str, symbol: str, quantity: Decimal, now_ns: int, *, refuse: bool = False, by_value: bool = False
    ) -> Held | None:
        """Take an order, or refuse it: None. One that is known already is answered with what it became."""
        self.posts.append(client_order_id)
        if client_order_id in self.orders:
            return self.orders[client_order_id]
        if refuse:
            return None
        held = Held(client_order_id, f"B{len(self.orders):05d}", symbol, quantity)
        held.notional = (quantity * self.prices[symbol]).quantize(CENT) if by_value else Decimal(0)
        held.state = self.chance.choice([OrderState.PENDING_NEW, OrderState.ACCEPTED, OrderState.NEW])
        self.orders[client_order_id] = held
        self.tell(held.report, None)
        return held

    def cancel(self, broker_id: str, now_ns: int) -> str:
        """Ask for a cancel; return why it cannot be, or nothing. It may fill before it is cancelled."""
        held = next((each for each in self.orders.values() if each.broker_id == broker_id), None)
        if held is None:
            return "order not found"
        if held.state in TERMINAL:
            return f'order is already in "{held.state}" state'
        held.state = OrderState.PENDING_CANCEL
        self.tell(held.report, None)
        return ""

    def work(self, held: Held, now_ns: int) -> None:
        """Let one order live a little: it is routed, fills in part or in full, is cancelled, expires or is rejected."""
        if held.state in TERMINAL:
            return
        if held.state in {OrderState.PENDING_NEW, OrderState.ACCEPTED} and self.chance.random() < 0.1:
            self._end(held, OrderState.REJECTED if not held.filled else OrderState.CANCELED, now_ns)
        elif held.state == OrderState.PENDING_CANCEL and self.chance.random() < 0.6:
            self._end(held, OrderState.CANCELED, now_ns)
        elif self.chance.random() < 0.08:
            self._end(held, OrderState.EXPIRED, now_ns)
        else:
            self._fill(held, now_ns)

    def open(self) -> list[Held]:
        """Return the orders that have not ended."""
        return [each for each in self.orders.values() if each.state not in TERMINAL]

    def positions(self) -> dict[str, Decimal]:
        """Return what is held, signed, flat symbols left out."""
        return dict(self.history[-1].positions)

    def _fill(self, held: Held, now_ns: int) -> None:
        left = abs(held.quantity) - held.filled
        part = left if self.chance.random() < 0.5 else max((left / 3).quantize(CENT), CENT)
        size = min(part, left)
        price = (self.prices[held.symbol] * Decimal(self.chance.randint(9990, 10010)) / 10000).quantize(Decimal("0.0001"))
        signed = size.copy_sign(held.quantity)
        held.filled += size
        held.state = OrderState.FILLED if held.filled == abs(held.quantity) else held.state
        if held.state not in {OrderState.FILLED, OrderState.PENDING_CANCEL}:
            held.state = OrderState.PARTIALLY_FILLED
        held.ended_ns = now_ns if held.state in TERMINAL else 0
        fee = (FEE * size * price).quantize(CENT)
        done = Execution(held.client_order_id, held.symbol, signed, price, Decimal(0), held.filled, now_ns)
        self.charges.append(Charge(f"fee of {len(self.ledger)}", -fee, "CFEE", now_ns, held.symbol))
        self.ledger.append(done)
        self.cash -= signed * price + fee
        self.move(held.symbol, signed, now_ns)
        self.tell(held.report, done)

    def _end(self, held: Held, state: OrderState, now_ns: int) -> None:
        held.state, held.ended_ns = state, now_ns
        self.tell(held.report, None)

    @property
    def losses(self) -> int:
        """How often money was taken otherwise than by a trade."""
        return sum(charge.kind == "FEE" for charge in self.charges)

    def split(self, symbol: str, ratio: int, now_ns: int) -> Charge | None:
        """Make `ratio` shares of each, of open orders as well; one of which a part was filled ends. Return what is to be told."""
        self.prices[symbol] = max((self.prices[symbol] / ratio).quantize(CENT), CENT)
        for held in [each for each in self.open() if each.symbol == symbol]:
            if held.filled or held.notional:
                self._end(held, OrderState.CANCELED, now_ns)
            else:
                held.quantity *= ratio
                self.tell(held.report, None)
        size = self.positions().get(symbol, Decimal(0)) * (ratio - 1)
        if not size:
            return None
        self.move(symbol, size, now_ns)
        return Charge(f"split of {symbol} at {now_ns}", Decimal(0), "SPLIT", now_ns, symbol, size)

    def take(self, symbol: str, now_ns: int) -> Charge | None:
        """Take a fee of a position, and return what is to be told."""
        size = (self.positions().get(symbol, Decimal(0)) * IN_COINS).quantize(CENT)
        if size <= 0:
            return None
        self.move(symbol, -size, now_ns)
        return Charge(f"coins of {symbol} at {now_ns}", Decimal(0), "CFEE", now_ns, symbol, -size)

    def charge(self, amount: Decimal, now_ns: int) -> None:
        """Take money otherwise than by a trade."""
        self.charges.append(Charge(f"loss at {now_ns}", amount.quantize(CENT), "FEE", now_ns))
        self.cash += self.charges[-1].amount
        self.history.append(Moment(now_ns, self.positions(), self.cash))

    def move(self, symbol: str, quantity: Decimal, now_ns: int) -> None:
        """Change a position without an order: what a transfer does, or a mistake."""
        held = self.positions()
        held[symbol] = held.get(symbol, Decimal(0)) + quantity
        self.history.append(Moment(now_ns, {name: size for name, size in held.items() if size}, self.cash))
