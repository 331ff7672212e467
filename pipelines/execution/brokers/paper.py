"""The paper broker: an exchange and an account in this process, with a durable ledger of their own.

The ledger is the broker's truth, written by other code than the trader's journal, so that the two can be compared. A bar is one
transaction; a bar or an order that is delivered twice changes nothing. The ledger survives the death of the process; what a power
cut takes from its end is made again from the same bars and orders.
"""

import json
import math
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from domain.account import Position
from domain.error import DiskFull, OrderRefused, ResourceError, TradingError
from domain.market import Market
from domain.order import Fill, Order
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines.execution import fills
from pipelines.execution import orders as orders_room
from pipelines.execution.brokers.contract import Activity, Charge
from pipelines.execution.fills import Book

SCHEMA = (
    "CREATE TABLE account (symbols TEXT NOT NULL, cursor_us INTEGER NOT NULL, book BLOB NOT NULL) STRICT",
    # An order is open while `after_us` is the account's cursor: the next bar fills it or lets it expire, whichever it is.
    "CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, after_us INTEGER NOT NULL, symbol TEXT NOT NULL, "
    "quantity REAL NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX orders_after ON orders (after_us)",
    "CREATE TABLE activities (sequence INTEGER PRIMARY KEY, event_at_us INTEGER NOT NULL, client_order_id TEXT, symbol TEXT, "
    "quantity REAL, price REAL, fee REAL, amount REAL) STRICT",
)
NEVER_US = -(2**62)


class Paper:
    """A paper account of one market. Opening an existing ledger takes up where it was left."""

    def __init__(self, path: Path, market: Market, params: Params, symbols: Sequence[str], capital: float) -> None:
        self._symbols = tuple(symbols)
        self._place = {symbol: s for s, symbol in enumerate(self._symbols)}
        self._venue = fills.venue(market, params)
        self._executions = fills.blank(len(self._symbols))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._cursor_us = NEVER_US
        self._book = Book.opened(len(self._symbols), capital)
        self._open: dict[int, tuple[str, float]] = {}
        self._connection = _open(path, self._symbols, self._book)
        self._recover()

    @property
    def cursor(self) -> np.datetime64:
        """Return the first moment of the newest bar that the exchange has lived through."""
        return np.datetime64(self._cursor_us, "us")

    def on_bar(self, bar: Panel, sigma: FloatArray) -> None:
        """Fill the open orders at this one-row panel's open, expire the rest and mark to its close; once only for each bar.

        `sigma` [S] is the one-bar volatility known before the bar, which impact is measured in.
        """
        opened_us = orders_room.microseconds(bar.opened_at[0])
        if opened_us <= self._cursor_us:
            return
        asked, book = np.zeros(len(self._symbols)), Book._make(values.copy() for values in self._book)
        for s, (_, quantity) in self._open.items():
            asked[s] = quantity
        charge, _, _ = fills.step(self._venue, asked, bar.open[0], bar.close[0], bar.volume[0], sigma, book, self._executions)
        self._write_bar(opened_us, orders_room.microseconds(bar.event_at[0]), charge, book)
        self._book, self._cursor_us, self._open = book, opened_us, {}

    def submit(self, orders: Sequence[Order]) -> None:
        """Accept orders for the next bar's open, all of them or none; raise OrderRefused for one that cannot be."""
        for order in orders:
            self._check(order)
        known = self.known([order.client_order_id for order in orders])
        fresh = [order for order in orders if order.client_order_id not in known]
        taken = {self._place[order.symbol] for order in fresh}
        if len(taken) != len(fresh) or taken & self._open.keys():
            raise OrderRefused("a second open order was sent for a symbol: the paper broker keeps one a symbol until the next bar")
        rows = [(o.client_order_id, self._cursor_us, o.symbol, o.quantity) for o in fresh]
        self._transact(("INSERT INTO orders VALUES (?, ?, ?, ?)", rows))
        self._open.update({self._place[o.symbol]: (o.client_order_id, o.quantity) for o in fresh})

    def known(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that were accepted before."""
        query = "SELECT client_order_id FROM orders WHERE client_order_id IN (SELECT value FROM json_each(?))"
        return frozenset(each for (each,) in self._connection.execute(query, (json.dumps(list(client_order_ids)),)))

    def activities(self, since: int) -> list[Activity]:
        """Return fills and charges after sequence `since`, oldest first."""
        query = "SELECT * FROM activities WHERE sequence > ? ORDER BY sequence"
        rows = self._connection.execute(query, (since,)).fetchall()
        moments = {at: orders_room.moment(np.datetime64(at, "us")) for at in {row[1] for row in rows}}
        return [Activity(row[0], _event(moments[row[1]], *row[2:])) for row in rows]

    def positions(self) -> dict[str, Position]:
        """Return what is held now."""
        held = np.flatnonzero(self._book.quantity).tolist()
        return {self._symbols[s]: Position(float(self._book.quantity[s]), float(self._book.average[s])) for s in held}

    def cash(self) -> float:
        """Return the account's cash."""
        return float(self._book.cash[0])

    def close(self) -> None:
        """Let the ledger go."""
        self._connection.close()

    def _recover(self) -> None:
        symbols, self._cursor_us, book = self._connection.execute("SELECT * FROM account").fetchone()
        if symbols != "\n".join(self._symbols):
            raise TradingError(f"the ledger {self._path} is of other symbols than the {len(self._symbols)} asked for: name another")
        values = np.frombuffer(book).copy()
        self._book = Book._make([*values[:-1].reshape(3, -1), values[-1:]])
        query = "SELECT client_order_id, symbol, quantity FROM orders WHERE after_us = ?"
        rows = self._connection.execute(query, (self._cursor_us,))
        self._open = {self._place[symbol]: (each, quantity) for each, symbol, quantity in rows}

    def _check(self, order: Order) -> None:
        if order.symbol not in self._place:
            raise OrderRefused(f"order {order.client_order_id} is for {order.symbol}, which this account does not trade")
        if not math.isfinite(order.quantity) or order.quantity == 0.0:
            raise OrderRefused(f"order {order.client_order_id} is for a quantity of {order.quantity}: it must be finite and not 0")

    def _write_bar(self, opened_us: int, event_us: int, charge: float, book: Book) -> None:
        out = self._executions
        activities: list[tuple[object, ...]] = []
        for s in np.flatnonzero(out.quantity).tolist():
            numbers = float(out.quantity[s]), float(out.price[s]), float(out.fee[s])
            activities.append((opened_us, self._open[s][0], self._symbols[s], *numbers, None))
        if charge != 0.0:
            activities.append((event_us, None, None, None, None, None, float(charge)))
        self._transact(
            ("INSERT INTO activities VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", activities),
            ("UPDATE account SET cursor_us = ?, book = ?", [(opened_us, _packed(book))]),
        )

    def _transact(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._connection.executemany(statement, rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as problem:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _explained(problem, self._path) from problem


def _open(path: Path, symbols: tuple[str, ...], book: Book) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO account VALUES (?, ?, ?)", ("\n".join(symbols), NEVER_US, _packed(book)))
            connection.execute("COMMIT")
    except sqlite3.Error as problem:
        raise _explained(problem, path) from problem
    return connection


def _packed(book: Book) -> bytes:
    return np.concatenate(book).tobytes()


def _event(
    event_at: datetime, client_order_id: str | None, symbol: str, quantity: float, price: float, fee: float, amount: float
) -> Fill | Charge:
    if client_order_id is None:
        return Charge(amount, event_at)
    return Fill(client_order_id, symbol, quantity, price, fee, quantity, event_at)


def _explained(problem: sqlite3.Error, path: Path) -> ResourceError:
    if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return DiskFull(f"the paper ledger {path} could not be written ({problem}): free some space, everything before is intact")
    return ResourceError(f"the paper ledger {path} could not be used: {problem}")
