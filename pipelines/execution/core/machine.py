"""The machine: `(state, event) -> (state, plan)` for one account of one market.

It is ready to open positions only once it has read the account and found it to be what the journal says; it is not ready again from
the moment that a channel is lost or a difference stands. Not being ready takes nothing away: orders are followed, executions are
booked, cancels are sent, and bars are lived through without a forecast.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Self

import numpy as np

from domain.decision import Mode, Outcome, Rule
from domain.error import TradingError
from domain.market import Market
from domain.order import TERMINAL, Order
from domain.panel import PRICES, FloatArray, Panel
from domain.params import Params
from pipelines.execution import facts, fills, orders, risk, trader
from pipelines.execution.core import events, remembered
from pipelines.execution.core.desk import SECOND, Desk, Patience
from pipelines.execution.core.events import Event, Moment
from pipelines.execution.core.hand import HAND, Hand
from pipelines.execution.core.outlook import Outlook
from pipelines.execution.core.plan import Find, Plan, Sync
from pipelines.execution.core.proposals import Proposals
from pipelines.execution.core.reconciling import Doubt, differences
from pipelines.execution.trader import Trader
from pipelines.journal import Stored

#: What `packed` keeps; another number for whatever an older version could not read.
FORM = 2
#: Commands remembered, so that one that comes twice is honoured once.
REMEMBERED = 1000


@dataclass
class Readiness:
    """What must hold before anything new is opened."""

    synced: bool = False
    """The account was read since the start and since every channel came back, and no difference stands."""
    lost: set[events.Channel] = field(default_factory=lambda: {events.Channel.ORDERS})
    synced_ns: int = 0
    asked_ns: int = 0
    """When the reading under way was asked for; 0 when none is."""
    taken_ns: int = 0
    """When the newest reading was taken in."""
    urged: bool = False
    """Something happened that only a reading explains."""
    doubts: dict[str, Doubt] = field(default_factory=dict)
    offset_s: float = math.nan
    """Seconds by which our clock was ahead of the broker's at the last reading."""

    @property
    def ready(self) -> bool:
        """Whether new positions may be opened."""
        return self.synced and not self.lost


class Core:
    """One account's trader. `step` is the only way in; what it returns must be written before it is sent."""

    def __init__(
        self, market: Market, params: Params, symbols: tuple[str, ...], capital: Decimal, version: str,
        patience: Patience | None = None, *, flips: bool = True, proposals: Proposals | None = None,
    ) -> None:  # fmt: skip
        """Begin with cash alone; `flips` says whether the broker lets one order close a position and open the opposite one.

        `proposals` says who decides: by default the model alone.
        """
        self.market, self.symbols, self.version, self.rules, self.flips = market, symbols, version, params.risk, flips
        self.trader = Trader.opened(market, params, len(symbols), float(capital))
        places = {symbol: s for s, symbol in enumerate(symbols)}
        self.desk = Desk(places, self.trader.book, patience or Patience(), capital)
        self.readiness = Readiness()
        self.bars, self.last_us, self.cursor = 0, 0, ""
        self.commands: dict[str, None] = {}
        self.outlook = Outlook(symbols, self.desk, self.rules)
        self.proposals = proposals or Proposals()
        self.lot = Decimal(repr(market.instrument.lot))
        hand = Hand(self)
        self._handlers: dict[type, Callable[[Any, Plan], None]] = {
            events.BarClosed: self._bar,
            events.Answered: self.desk.answered,
            events.CancelRefused: self._cancel_refused,
            events.Heard: self._heard,
            events.Found: self.desk.found,
            events.Synced: self._synced,
            events.Listed: self._listed,
            events.TookOver: self._took_over,
            events.Joined: self._joined,
            events.Lost: self._lost,
            events.Commanded: self._commanded,
            events.Asked: hand.asked,
            events.Decided: hand.decided,
            events.Withdrawn: hand.withdrawn,
            events.Ticked: lambda said, plan: None,
        }

    @property
    def ready(self) -> bool:
        """Whether new positions may be opened."""
        return self.readiness.ready

    @property
    def halted(self) -> bool:
        """Whether the kill latch is shut."""
        return risk.halted(self.trader.gate)

    def open(self, said: events.Synced, at: Moment) -> Plan:
        """Begin a new account with the cash that the broker says it holds, and return what is to be written with its beginning.

        Raises TradingError where it holds anything else.
        """
        held = [f"{size} of {symbol}" for symbol, size in sorted(said.positions.items())]
        held += [f"order {report.client_order_id}" for report in said.orders if report.state not in TERMINAL]
        if held:
            raise TradingError(
                f"a new account was to begin with cash alone, and the broker holds {', '.join(held)}: close these before"
            )
        plan = Plan(at)
        self.desk.begin(said, plan)
        self.cursor = said.cursor
        return plan

    def start(self, at: Moment) -> Plan:
        """Return what a new process asks for first: the account."""
        return self.step(events.Ticked(), at)

    def step(self, event: Event, at: Moment) -> Plan:
        """Take in one event and return what follows; the time of `at` is the only time there is."""
        plan = Plan(at)
        self._handlers[type(event)](event, plan)
        self._tend(plan)
        return plan

    def packed(self) -> bytes:
        """Return everything that a new process needs to go on."""
        desk = self.desk
        return trader.packed(self.trader, {
            "form": FORM,
            "bars": self.bars, "last_us": self.last_us, "cursor": self.cursor, "commands": list(self.commands)[-REMEMBERED:],
            "cash": str(desk.cash), "holdings": {symbol: str(held) for symbol, held in desk.holdings.items()},
            "charged": sorted(desk.charged), "outlook": self.outlook.packed(), "proposals": self.proposals.packed(),
            "oldest": desk.oldest,
        })  # fmt: skip

    def noted(self, sequence: int) -> None:
        """Take note that everything written so far is durable, up to a sequence of the journal."""
        self.desk.sequence = sequence

    def restore(self, raw: bytes, records: Iterable[Stored], at: Moment) -> Self:
        """Put back what `packed` kept, in a process that starts at `at`: not ready, and whatever was sent is unknown.

        `records` are those of the journal after sequence `oldest(raw)`, up to the one that `raw` was kept with.
        """
        kept, desk = trader.restore(self.trader, raw), self.desk
        self.bars, self.last_us, self.cursor = kept["bars"], kept["last_us"], kept["cursor"]
        self.commands = dict.fromkeys(kept["commands"])
        self.outlook.restore(kept["outlook"])
        self.proposals.restore(kept["proposals"])
        desk.cash, desk.charged = Decimal(kept["cash"]), set(kept["charged"])
        desk.holdings = {symbol: Decimal(held) for symbol, held in kept["holdings"].items()}
        desk.oldest = kept["oldest"]
        desk.restore(remembered.rebuilt(records, at.monotonic_ns), at.monotonic_ns)
        return self

    def _tend(self, plan: Plan) -> None:
        """Do what the state alone asks for, at whatever event: look, cancel, read the account."""
        desk, now_ns = self.desk, plan.at.monotonic_ns
        desk.look(plan)
        self._believe(plan)
        self.proposals.lapse(plan)
        halted = self.halted
        for working in desk.orders.values():
            if working.unwanted or (halted and not working.forced):
                desk.cancel(working, plan)
        if self._sync_due(now_ns):
            self.readiness.asked_ns = now_ns
            plan.requests.append(Sync(self.cursor, tuple(desk.orders), now_ns))

    def _sync_due(self, now_ns: int) -> bool:
        patience, state = self.desk.patience, self.readiness
        if state.asked_ns and now_ns - state.asked_ns < patience.answer_ns:
            return False
        waits = patience.busy_sync_ns if not state.synced or state.doubts or self.desk.orders else patience.sync_ns
        return state.urged or not state.synced_ns or now_ns - state.synced_ns >= waits

    def _listed(self, said: events.Listed, plan: Plan) -> None:
        self.outlook.untradable = said.untradable

    def _took_over(self, said: events.TookOver, plan: Plan) -> None:
        self.version, self.trader = said.version, self.trader.resized(self.market, said.params)

    def _heard(self, said: events.Heard, plan: Plan) -> None:
        self.desk.report(said.report, plan)
        if said.execution is not None:
            self._execute(said.execution, plan)

    def _execute(self, execution: events.Execution, plan: Plan) -> None:
        fault = self.desk.execute(execution, plan)
        if fault:
            self._halt(f"{fault}: it was not booked", plan)

    def _cancel_refused(self, said: events.CancelRefused, plan: Plan) -> None:
        """Read the account: the order has moved on without our knowing how."""
        self.readiness.urged = True

    def _joined(self, said: events.Joined, plan: Plan) -> None:
        """Trust nothing that was known before: what a stream said while it was gone is lost."""
        self.readiness.lost.discard(said.channel)
        self.readiness.synced, self.readiness.synced_ns, self.readiness.asked_ns = False, 0, 0

    def _lost(self, said: events.Lost, plan: Plan) -> None:
        self.readiness.lost.add(said.channel)

    def _synced(self, said: events.Synced, plan: Plan) -> None:
        """Take in a reading of the account, and be ready if it is what we hold.

        One that was begun before another was taken in knows nothing of it: it may be older, or bring again what is forgotten since.
        """
        if said.asked_ns < self.readiness.taken_ns:
            self.readiness.urged |= said.asked_ns == self.readiness.asked_ns
            self.readiness.asked_ns = 0 if said.asked_ns == self.readiness.asked_ns else self.readiness.asked_ns
            return
        self.readiness.taken_ns = plan.at.monotonic_ns
        for report in said.orders:
            self.desk.report(report, plan)
        strangers = {name for name in (each.client_order_id for each in said.executions) if self.desk.known(name) is None}
        for execution in said.executions:
            if execution.client_order_id not in strangers:
                self._execute(execution, plan)
        for charge in said.charges:
            self.desk.charge(charge, plan)
        plan.requests += [Find(name, plan.at.monotonic_ns) for name in sorted(strangers)]
        # What cannot be booked before its order is known is read again.
        self.cursor = self.cursor if strangers else said.cursor
        self.desk.forget(said, plan.at.monotonic_ns)
        # A reading that was begun before a channel came back knows nothing of what was said meanwhile.
        if said.asked_ns == self.readiness.asked_ns:
            self.readiness.offset_s = math.nan if said.clock_ns is None else (plan.at.ns - said.clock_ns) / SECOND
            self._judge(differences(self.desk, said), plan)
            self.readiness.asked_ns, self.readiness.synced_ns, self.readiness.urged = 0, plan.at.monotonic_ns, False

    def _judge(self, found: dict[str, tuple[Decimal, Decimal]], plan: Plan) -> None:
        """Remember since when each difference stands; be ready again when none is left."""
        state, now_ns = self.readiness, plan.at.monotonic_ns
        kept = {name: state.doubts.get(name) for name in found}
        state.doubts = {
            name: doubt if (doubt := kept[name]) is not None and doubt.same(*found[name]) else Doubt(*found[name], now_ns)
            for name in found
        }
        if not found and not state.synced:
            state.synced = True
            plan.write("reconcile", "core", {"positions": len(self.desk.holdings), "cash": str(self.desk.cash)})

    def _believe(self, plan: Plan) -> None:
        """Believe a difference that has stood for a while, even if no reading has come since that could have ended it."""
        state, now_ns = self.readiness, plan.at.monotonic_ns
        stands = {name: each for name, each in state.doubts.items() if now_ns - each.since_ns >= self.desk.patience.quiet_ns}
        if stands and state.synced:
            state.synced = False
            name, doubt = next(iter(sorted(stands.items())))
            plan.alert(f"the broker holds {doubt.theirs} of {name}, the journal says {doubt.ours}: nothing new is opened")

    def heard_before(self, said: events.Word) -> bool:
        """Say whether a word of a person has been honoured; from now on it has."""
        before = said.identity in self.commands
        self.commands[said.identity] = None
        return before

    def _commanded(self, said: events.Commanded, plan: Plan) -> None:
        if self.heard_before(said):
            return
        if said.halt:
            risk.halt(self.trader.gate)
        else:
            risk.resume(self.trader.gate, self.equity)
        plan.write("halt" if said.halt else "resume", said.actor, {"command": said.identity, "reason": said.reason})

    def tell(self, plan: Plan, silent_since_ns: int, model_valid: bool, heard_ns: int = 0) -> None:
        """Tell the gate what is known of the world now."""
        state = self.readiness
        self.outlook.tell(
            self.trader, plan.at, synced_ns=state.synced_ns, offset_s=state.offset_s, silent_since_ns=silent_since_ns,
            heard_ns=heard_ns, model_valid=model_valid,
        )  # fmt: skip

    def _halt(self, reason: str, plan: Plan) -> None:
        """Shut the kill latch: something happened that must not happen."""
        if not self.halted:
            risk.halt(self.trader.gate)
            plan.write("halt", "core", {"command": "", "reason": reason})

    @property
    def equity(self) -> float:
        """What the account is worth by the newest prices."""
        value, _, _ = fills.worth(self.trader.book)
        return float(self.trader.book.cash[0] + value)

    def _bar(self, said: events.BarClosed, plan: Plan) -> None:
        """Live through a bar once: mark, think, and send what the gate allows."""
        # What the mind says of a bar stands, whatever becomes of it here.
        for kind, payload in said.facts:
            plan.write(kind, "mind", payload)
        closed_us = orders.microseconds(said.bar.event_at[0])
        if closed_us <= self.last_us:
            return
        age_ns = plan.at.ns - closed_us * 1000
        if age_ns < -self.desk.patience.early_ns:
            plan.alert(f"a bar that closes at {said.bar.event_at[0]} was heard at {plan.at.time}: one of both clocks is wrong")
            return
        forecast = said.forecast if self.ready and age_ns <= self.desk.patience.late_ns else np.full_like(said.forecast, np.nan)
        bar = sound(said.bar)
        equity, gross = fills.close_bar(self.trader.book, bar.close[0], 0.0)
        was_halted = self.halted
        self.proposals.replace(plan)
        self.outlook.lived(replace(said, bar=bar), closed_us * 1000)
        self.tell(plan, closed_us * 1000, said.model_valid, said.heard_ns)
        trader.think(self.trader, forecast, bar.close[0], bar.volume[0], said.scale, float(equity), said.day)
        self.bars, self.last_us = self.bars + 1, closed_us
        self._send(said, plan)
        if self.halted and not was_halted:
            reason = f"equity of {equity:.2f} has fallen more than {self.rules.drawdown_max} below its peak"
            plan.write("halt", "risk", {"command": "", "reason": reason})
        plan.write("bar", "core", facts.bar(bar, trader.Worth(float(equity), float(gross), 0.0, []), float(self.desk.cash)))

    def _send(self, heard: events.BarClosed, plan: Plan) -> None:
        """Take on the orders of a bar, but none for a symbol that still has one: that one is cancelled first."""
        busy, said = self.desk.busy(), self.trader.verdicts
        for working in self.desk.orders.values():
            if working.order.model_version != HAND:
                self.desk.cancel(working, plan)
        for s in np.flatnonzero(said.order).tolist():
            if self.symbols[s] in busy or not self.ready:
                said.order[s], said.outcome[s] = 0.0, Outcome.DENIED
            elif not self.flips:
                self._close_first(s)
        kept_back = self._kept_back()
        intents = facts.intents(self.trader, self.symbols, self.version)
        forced = {self.symbols[s] for s in np.flatnonzero(said.outcome == Outcome.FORCED).tolist()}
        made = self._orders(heard, said.order)
        sent = self.desk.intend(((each, self.exact(each.quantity), each.symbol in forced) for each in made), plan)
        if intents["symbol"]:
            plan.write("intent", "core", {**intents, "orders": sent})
        if self.proposals.mode == Mode.ASSISTED:
            for order in self._orders(heard, kept_back):
                self.proposals.make(order, self.exact(order.quantity), plan)

    def _orders(self, heard: events.BarClosed, quantity: FloatArray) -> list[Order]:
        at, mark = heard.bar.event_at[0], self.trader.book.mark
        return orders.intents(self.market.name, self.version, at, self.symbols, quantity, mark, heard.terms)

    def exact(self, quantity: float) -> Decimal:
        """Return a quantity in whole lots, as it goes over the wire."""
        return orders.exact(quantity, self.lot)

    def _kept_back(self) -> FloatArray:
        """Take out of the verdicts, and return, what a person is asked about; what the gate forces is sent in any mode."""
        said = self.trader.verdicts
        kept = np.zeros(len(self.symbols))
        if self.proposals.mode != Mode.AUTONOMOUS:
            rows = np.flatnonzero((said.order != 0.0) & (said.outcome != Outcome.FORCED))
            kept[rows] = said.order[rows]
            said.order[rows], said.outcome[rows], said.rule[rows] = 0.0, Outcome.DENIED, Rule.PERSON
            said.found[rows], said.limit[rows] = np.abs(kept[rows]), 0.0
        return kept

    def _close_first(self, s: int) -> None:
        """Cut an order that would turn a position around to the part that closes it; the other side is opened by a later bar's."""
        said, held = self.trader.verdicts, float(self.trader.book.quantity[s])
        wanted = float(said.order[s])
        if held * (held + wanted) < 0.0:
            said.order[s], said.outcome[s], said.rule[s] = -held, Outcome.REDUCED, Rule.FLIP
            said.found[s], said.limit[s] = abs(wanted), abs(held)


def sound(bar: Panel) -> Panel:
    """Return a bar in which whatever is not a positive price is missing, so that nothing of it reaches a decision."""
    prices = np.stack((bar.open, bar.high, bar.low, bar.close))
    right = (np.isfinite(prices) & (prices > 0.0)).all(axis=0) & (bar.high >= bar.low)
    cleaned: dict[str, Any] = {name: np.where(right, getattr(bar, name), np.nan) for name in PRICES}
    return replace(bar, **cleaned)


def oldest(raw: bytes) -> int:
    """Return the sequence of the journal after which lies all that `restore` needs beside a kept state."""
    return int(progress(raw)["oldest"])


def progress(raw: bytes) -> dict[str, Any]:
    """Return what a kept state says beside a trader's own; raise TradingError where another version of this house kept it."""
    kept = trader.progress(raw)
    if kept.get("form") != FORM:
        raise TradingError(
            f"the account's state was kept in form {kept.get('form')}, this version keeps form {FORM}: close its positions at the "
            "broker, move its folder away, and begin another account"
        )
    return kept
