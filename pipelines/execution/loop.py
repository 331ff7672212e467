"""The loop: one bar at a time, with a broker and a journal. Starting is recovering.

A bar is booked, thought about and written down, with the orders and the state they lead to, in one durable transaction; only then
is anything sent. Whatever moment the process dies at, the next start finds the last bar written, sends what the broker lacks of it,
books what the broker did since, and goes on: the same fills, equity and orders as if nothing had happened.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from domain import clock, session
from domain.clock import Clock, ReplayClock
from domain.error import ConfigurationError, TradingError
from domain.market import Market
from domain.order import Order
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines.execution import accounts, commands, facts, gaps, orders, outcome, reconcile, risk, trader
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.brokers.paper import Paper
from pipelines.execution.conditions import CLOSING
from pipelines.execution.mind import Mind, Successor
from pipelines.execution.serving import Served
from pipelines.execution.trader import Trader
from pipelines.execution.watch import Watch
from pipelines.journal import Journal, Record

LEDGER = "exchange.db"

#: Moments of a bar at which a test may kill the process, in turn.
Point = Literal["received", "exchanged", "decided", "journaled", "submitted"]


class Loop:
    """A paper trader of one market whose journal and ledger live in `home`. Opening it takes the account's lease."""

    def __init__(
        self, market: Market, params: Params, served: Served, symbols: tuple[str, ...], home: Path, time: Clock, *,
        capital: float | None = None, successor: Successor | None = None, watch: Watch | None = None,
        point: Callable[[Point], None] | None = None,
    ) -> None:  # fmt: skip
        self._market, self._params, self._symbols, self._home, self._time = market, params, symbols, home, time
        self._capital = params.fills.capital if capital is None else capital
        self._mind = Mind(served, params, len(symbols), successor=successor, watch=watch)
        self._point = point or (lambda name: None)
        self._places = {symbol: s for s, symbol in enumerate(symbols)}
        self._trader = Trader.opened(market, self._mind.terms, len(symbols), self._capital)
        self._progress = {"bars": 0, "event_at_us": 0, "activity": 0}
        self._ready = False
        self._journal = Journal(home / JOURNAL)
        try:
            self._restore()
            self._broker = Paper(home / LEDGER, market, params, symbols, self._capital)
        except BaseException:
            self._journal.close()
            raise

    @property
    def cursor(self) -> np.datetime64 | None:
        """Return the close of the newest bar that was written, or nothing on a new account."""
        return np.datetime64(self._progress["event_at_us"], "us") if self._progress["bars"] else None

    @property
    def version(self) -> str | None:
        """Return the model that traded last, or nothing on a new account."""
        return self._mind.version

    def recover(self, history: Panel) -> None:
        """Make ready to trade: warm up on `history`, every bar up to `cursor`, and bring journal and broker together.

        Raises TradingError when they tell different stories.
        """
        bars = self._progress["bars"]
        scales = self._mind.warm(history, bars)
        sent = self._catch_up(history, scales)
        reconcile.check(self._broker, self._trader, self._symbols, self._broker.activities(self._progress["activity"]))
        records = [self._record(kind, "mind", told) for kind, told in self._mind.agreed(bars)]
        if bars:
            records.append(self._record("reconcile", "loop", {"sent": [order.client_order_id for order in sent]}))
        if records:
            self._journal.append(*records)
        self._ready = True
        if history.bars:
            self._mind.follow(bars, None, history.event_at[-1])

    def on_bar(self, bar: Panel) -> None:
        """Live through one closed bar, a panel of one row: book its fills, think, write all of it down, and send the orders."""
        if not self._ready:
            raise TradingError("a bar reached a trader that has not recovered, or that failed within a bar: start it again")
        self._ready = False
        self._point("received")
        self._broker.on_bar(bar, self._mind.scale)
        self._point("exchanged")
        activities = self._broker.activities(self._progress["activity"])
        worth = trader.book_bar(self._trader, self._places, bar, activities)
        told, heard = self._obey(worth.equity)
        told += self._hear(bar)
        told += self._think(bar, worth.equity)
        self._point("decided")
        self._progress["bars"] += 1
        self._progress["event_at_us"] = orders.microseconds(bar.event_at[0])
        self._progress["activity"] = activities[-1].sequence if activities else self._progress["activity"]
        sent = self._write(bar, worth, told)
        self._point("journaled")
        self._broker.submit(sent)
        self._point("submitted")
        commands.remove(self._home, heard)
        self._mind.follow(self._progress["bars"], bar, bar.event_at[0])
        self._ready = True

    def outcome(self) -> outcome.Outcome:
        """Return what the journal says came of it so far."""
        return facts.read(self._journal, self._market, self._symbols, self._capital, risk.halted(self._trader.gate))

    def close(self) -> None:
        """Let go of the account."""
        self._broker.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _restore(self) -> None:
        kept, opened = self._journal.latest_snapshot(), accounts.opened_on(self._journal)
        # Without a change of settings: a replay, and what a paper account came to, are of one set of them.
        settings = {"params": self._params.digest(*accounts.SETTINGS, "fills")}
        terms = {**accounts.terms([(self._market, self._symbols)], self._capital), **settings}
        self._mind.restore(self._journal, self._market.name)
        if kept is not None:
            self._progress = trader.restore([self._trader], kept[1])
        if opened is None:
            self._journal.append(self._record("session", "loop", terms))
        else:
            accounts.agree(self._home, opened, terms)
        self._heard = {
            str(stored.payload["command"]) for kind in ("halt", "resume", "verdict") for stored in self._journal.records(kind)
        }

    def _catch_up(self, history: Panel, scales: FloatArray) -> list[Order]:
        """Bring the broker to the newest bar that was written, and send it what it lacks of the orders; return these.

        After a crash it lacks the newest bar's orders at most; after a power cut perhaps some bars, which it lives through again.
        """
        written = history.bars - self._progress["bars"]
        first = max(written, int(np.searchsorted(history.opened_at, self._broker.cursor)))
        if first >= history.bars:
            return []
        since_ns = orders.microseconds(history.event_at[first]) * 1000
        decided = {each.event_at_ns: each.payload for each in self._journal.records("intent") if each.event_at_ns >= since_ns}
        sent: list[Order] = []
        for t in range(first, history.bars):
            self._broker.on_bar(history.rows(t, t + 1), scales[t - 1] if t else np.full(len(self._symbols), np.nan))
            intents = decided.get(orders.microseconds(history.event_at[t]) * 1000)
            if intents is not None:
                sent += reconcile.resubmit(self._broker, facts.orders_of(intents, self._market, history.event_at[t]))
        return sent

    def _obey(self, equity: float) -> tuple[list[Record], list[commands.Command]]:
        """Honour the commands that wait and return their records; those found again after a crash are only taken away."""
        records, heard = [], commands.waiting(self._home)
        for command in heard:
            if command.identity not in self._heard:
                records.append(self._obeyed(command, equity))
                self._heard.add(command.identity)
        return records, heard

    def _obeyed(self, command: commands.Command, equity: float) -> Record:
        told = {"command": command.identity, "reason": command.fault or command.reason}
        if command.word not in {"halt", "resume"}:
            refusal = f"'{command.word}' was asked of the paper account, which trades by itself: orders by hand go to a broker"
            return self._record("verdict", command.actor, {**told, "refusal": refusal})
        # What may have been a halt is one, even if it cannot be understood.
        shut = command.word == "halt" or bool(command.fault)
        risk.halt(self._trader.gate) if shut else risk.resume(self._trader.gate, equity)
        return self._record("halt" if shut else "resume", command.actor, told)

    def _hear(self, bar: Panel) -> list[Record]:
        """Let the mind hear a bar, and decide from it on by the settings of whoever it finds to trade now."""
        version = self._mind.version
        facts = self._mind.hear(bar, self._progress["bars"])
        if self._mind.version != version:
            self._trader = self._trader.resized(self._market, self._mind.terms)
        return [self._record(kind, "mind", payload, bar.event_at[0]) for kind, payload in facts]

    def _think(self, bar: Panel, equity: float) -> list[Record]:
        """Forecast and decide; return the record of a limit that shut the kill latch."""
        was_halted = risk.halted(self._trader.gate)
        forecast = self._mind.think(bar, self._progress["bars"])
        day = float(session.days(self._market, bar.opened_at)[0])
        self._trader.conditions.account[CLOSING] = gaps.most(self._market, self._params.risk, bar.event_at)[0]
        trader.think(self._trader, forecast, bar.close[0], bar.volume[0], self._mind.scale, equity, day)
        if was_halted or not risk.halted(self._trader.gate):
            return []
        reason = f"equity of {equity:.2f} has fallen more than {self._params.risk.drawdown_max} below its peak"
        return [self._record("halt", "risk", {"command": "", "reason": reason})]

    def _write(self, bar: Panel, worth: trader.Worth, told: list[Record]) -> list[Order]:
        """Write down the bar and what follows from it in one transaction, and return the orders that may then be sent."""
        at, version, said = bar.event_at[0], self._mind.served.version, self._trader.verdicts
        intents = facts.intents(self._trader, self._symbols, version)
        if worth.booked:
            told.append(self._record("fill", "broker", facts.filled(bar, worth, self._symbols), at))
        if intents:
            told.append(self._record("intent", "loop", intents, at))
        told.append(self._record("bar", "loop", facts.bar(bar, worth, float(self._trader.book.cash[0])), at))
        self._journal.append(*told, snapshot=trader.packed([self._trader], self._progress))
        return orders.intents(self._market.name, version, at, self._symbols, said.order, self._trader.book.mark)

    def _record(self, kind: str, actor: str, payload: dict[str, Any], at: np.datetime64 | None = None) -> Record:
        now_ns = clock.nanoseconds(self._time.now()) if at is None else orders.microseconds(at) * 1000
        return Record(now_ns, self._time.monotonic_ns(), kind, actor, payload)


def replay(
    panel: Panel, served: Served, market: Market, params: Params, home: Path, *, since: np.datetime64 | None = None,
    capital: float | None = None, point: Callable[[Point], None] | None = None, progress: Callable[[int], None] | None = None,
) -> outcome.Outcome:  # fmt: skip
    """Run the loop over recorded bars with its files in `home` and return what came of it; a replay that was cut short goes on.

    `since` is the close from which on trading starts, bars before only warm up. `progress` is called with the number of bars done.
    Raises ConfigurationError when `home` holds an account on other terms or another model.
    """
    first = 0 if since is None else int(np.searchsorted(panel.event_at, since))
    time = ReplayClock(orders.moment(panel.event_at[min(first, panel.bars - 1)]))
    with Loop(market, params, served, panel.symbols, home, time, capital=capital, point=point) as live:
        if live.version not in {None, served.version}:
            raise ConfigurationError(f"{home} is of model {live.version}, asked was {served.version}: name another folder")
        start = first if live.cursor is None else int(np.searchsorted(panel.event_at, live.cursor, side="right"))
        live.recover(panel.rows(0, start))
        for t in range(start, panel.bars):
            time.advance(orders.moment(panel.event_at[t]))
            live.on_bar(panel.rows(t, t + 1))
            if progress is not None:
                progress(t + 1 - first)
        return live.outcome()
