"""The world: one heap of things to come, a process that dies and starts again, and wires that lose, repeat and reorder.

Each part draws from a generator of its own, so that a draw more in one place does not change the others. Each seed switches on some
of the faults and not others: rare combinations come up that way.
"""

import hashlib
import heapq
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from domain.decision import Mode
from domain.factors import Actions
from domain.forecast import LEVELS
from domain.order import TERMINAL, OrderKind, OrderState, Terms, TimeInForce
from domain.panel import Panel
from pipelines.execution.core import events, machine
from pipelines.execution.core.desk import SECOND, Patience
from pipelines.execution.core.events import Answer, Answered, Channel, Charge, Event, Execution, Moment, Report
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel, Find, Plan, Request, Submit, Sync
from pipelines.execution.core.proposals import Proposals
from pipelines.execution.core.seat import Traded
from pipelines.journal import Record, Stored
from tests.pipelines.execution import recorded
from tests.simulation.broker import Broker
from tests.simulation.strange import Strange

FAULTS = (
    "lost_before", "lost_after", "server_error", "refused", "duplicated", "dropped", "delayed", "disconnected", "lagging",
    "mute_reads", "crash_before_write", "crash_after_write", "crash_while_sending", "disk_full", "clock_jump", "halted_by_hand",
    "ordered_by_hand", "moved_by_hand", "timed_out", "late_bar", "repeated_bar", "bad_bar", "future_bar", "no_forecast",
    "cancel_ignored", "old_report", "grouped", "untradable", "another_model",
    "by_hand", "assisted", "two_markets", "closes", "suspended", "busted", "plunges", "split", "coins_taken",
)  # fmt: skip
EPOCH_NS = 1_700_000_000 * SECOND
MINUTE = 60 * SECOND
CAPITAL = Decimal(1_000_000)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
RULES: dict[str, dict[str, Any]] = {
    "risk": {"turnover_max": 3.0, "participation_max": 1.0, "order_notional_max": 400_000, "stop_loss": 0.9, "daily_loss_max": 0.9,
             "gross_max": 0.4, "net_max": 0.3},
    "decisions": {"rate": 1.0, "band": 0.0},
}  # fmt: skip
MARKET, PARAMS = recorded.terms("us_equity", **RULES)
#: The second market of an account that has two: other lots, nothing sold short, and bars that close with the first's at times.
OTHER, OTHER_PARAMS = recorded.terms("crypto", **RULES)
CLOSES_NS = {MARKET.name: MINUTE, OTHER.name: MINUTE * 3 // 2}
#: Ended orders are forgotten within the world's half hour, so that it lives through what a trader does in a day.
PATIENCE = Patience(keep_ns=90 * SECOND, starts_max=1000)
#: Charges are read from further back than executions, as many of them.
CHARGES_BACK = 20
#: A third great loss would be more than may be lost in a day.
PLUNGES = 2
SAFETY_BARS, LIVENESS_BARS = 24, 6


class Died(Exception):
    """The process is gone."""


class Unwritable(Exception):
    """A record that the journal would refuse."""


class Commit(NamedTuple):
    """One durable transaction."""

    records: tuple[Record, ...]
    snapshot: bytes


@dataclass
class Store:
    """What survives a crash: whole transactions."""

    commits: list[Commit] = field(default_factory=list)
    full: bool = False
    rows: list[Stored] = field(default_factory=list)
    """All records, numbered as the journal numbers them."""

    def append(self, records: list[Record], snapshot: bytes) -> None:
        """Keep a transaction, or die without it when there is no room."""
        if self.full:
            raise Died("disk full")
        for record in records:
            try:
                json.dumps(record.payload, allow_nan=False)  # as the journal does
            except ValueError as problem:
                raise Unwritable(f"a '{record.kind}' record: {problem}") from None
        self.commits.append(Commit(tuple(records), snapshot))
        for each in records:
            place = len(self.rows) + 1
            self.rows.append(Stored(each.event_at_ns, each.monotonic_ns, each.kind, each.actor, each.payload, place, None, "", ""))

    def restored(self, core: Core, at: Moment) -> Core:
        """Put back into a new core what the newest transaction kept."""
        raw = self.commits[-1].snapshot
        core.restore(raw, self.rows[machine.oldest(raw) :], at)
        core.noted(len(self.rows))
        return core

    def records(self, kind: str) -> list[Record]:
        """Return all records of a kind, oldest first."""
        return [record for record in self.rows if record.kind == kind]


class World:
    """One run. `play` lives through it; `checks` are called after every step of the core."""

    def __init__(self, seed: int, checks: Callable[["World", Event, Plan], None] | None = None) -> None:
        self.seed, self.checks = seed, checks
        self.market_chance, self.wire, self.process, self.operator = (
            random.Random(f"{seed}:{part}") for part in ("market", "wire", "process", "operator")
        )
        drawn = random.Random(f"{seed}:faults")
        self.faults, self.struck = {name for name in FAULTS if drawn.random() < 0.4}, set[str]()
        """What may go wrong, and what has."""
        self.now_ns, self.skew_ns, self.turn, self.steps = 0, 0, 0, 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.store, self.trace, self.together = Store(), hashlib.sha256(), Plan(self.moment)
        self.prices = {symbol: Decimal(100) for symbol in SYMBOLS}
        self.broker = Broker(random.Random(f"{seed}:broker"), CAPITAL, self.prices, self._tell)
        self.strange = Strange(self.broker)
        self.core: Core | None = None
        self.life, self.connected, self.healed = 0, False, False
        self.traded = [Traded(MARKET, PARAMS, SYMBOLS, "1")]
        if "two_markets" in self.faults:
            self.traded = [Traded(MARKET, PARAMS, SYMBOLS[:2], "1"), Traded(OTHER, OTHER_PARAMS, SYMBOLS[2:], "1")]
        self.market_of = {symbol: each.market.name for each in self.traded for symbol in each.symbols}
        self.versions = {each.market.name: 1 for each in self.traded}
        """The models that trade, by market."""
        self.untradable: frozenset[str] = frozenset()
        """What the process has been told that it must not open."""
        self.asleep_ns = 0
        """Until when the process is suspended."""
        self.bars = dict.fromkeys(self.versions, 0)
        self.swept: list[tuple[str, str]] = []
        """Orders that a bar had cancelled, each with the market of the bar."""
        self.sent: list[str] = []
        """Client order ids as they left the process."""
        self.cancelled: set[str] = set()
        """Orders of which a cancel was asked."""
        self.joined = 0
        """How often the stream came back."""
        self.read = self.compared = False
        """Whether this process has read the account since its stream came back."""
        self.taken_ns = 0
        """When this process took in its newest reading."""
        self.splits: list[tuple[int, str, int]] = []
        """When what was split, and into how many."""
        self.untold: list[Charge] = []
        """What has moved shares, and no reading tells of yet."""

    # Time

    @property
    def moment(self) -> Moment:
        """Return what the process's clocks show; no two steps share a monotonic nanosecond, as they do not on a machine."""
        return Moment(EPOCH_NS + self.now_ns + self.skew_ns, self.now_ns + 1 + self.steps)

    def later(self, delay_ns: int, act: Callable[[], None]) -> None:
        """Do something in a while; what is due at once is done in the order in which it was asked for."""
        self.turn += 1
        heapq.heappush(self.heap, (self.now_ns + delay_ns, self.turn, act))

    @property
    def asleep(self) -> bool:
        """Whether the process is suspended: nothing reaches it, and it knows nothing of that."""
        return self.core is not None and self.now_ns < self.asleep_ns

    def fails(self, name: str, chance: float) -> bool:
        """Return whether a fault strikes now."""
        strikes = not self.healed and name in self.faults and self.wire.random() < chance
        self.struck |= {name} if strikes else set()
        return strikes

    def play(self) -> None:
        """Live through the safety phase, heal, and live through the liveness phase."""
        self.start()
        for each in self.traded:
            self.close_bars(each)
        self.later(SECOND // 2, self.work)
        self.later(SECOND, self.tick)
        self.later(7 * SECOND, self.meddle)
        self._until(SAFETY_BARS * MINUTE + MINUTE // 2)
        self.heal()
        self._until((SAFETY_BARS + LIVENESS_BARS) * MINUTE + MINUTE * 3 // 4)

    def _until(self, end_ns: int) -> None:
        while self.heap and self.heap[0][0] <= end_ns:
            self.now_ns, _, act = heapq.heappop(self.heap)
            act()
        self.now_ns = end_ns

    def heal(self) -> None:
        """End every fault: from here on the world must come to rest."""
        left_ns = max(self.asleep_ns - self.now_ns, 0)
        self.healed, self.store.full, self.skew_ns, self.asleep_ns = True, False, 0, 0
        self.strange.move_back(self.now_ns)
        if self.core is None:
            self.start()
        if not self.connected:
            self.join()
        if self.core is not None and self.untradable:
            self.untradable = frozenset()
            self.feed(events.Listed(self.untradable))
        # What a suspended process has not heard yet comes first.
        self.later(left_ns, self.let_go_on)
        self.later(left_ns, self.correct)

    def let_go_on(self) -> None:
        """Open the kill latch again; a great loss may only be read of after that, and a halt that was lost be said again."""
        if self.core is not None and self.core.halted:
            self.feed(events.Commanded(f"heal-{self.now_ns}", False, "operator", "all is well"))
        if self.faults & {"plunges", "halted_by_hand"}:
            self.later(MINUTE, self.let_go_on)

    # The process

    def start(self) -> None:
        """Start a process from what the store holds."""
        if self.core is not None:
            return
        self.life += 1
        self.core, self.untradable = self._born(), frozenset()
        if self.store.commits:
            self.store.restored(self.core, self.moment)
        self.connected = False
        self._carry_out(events.Ticked(), lambda core: core.start(self.moment))
        self.later(self.process.randint(1, 3) * SECOND // 4, self.join)

    def _born(self) -> Core:
        mode = Mode.ASSISTED if "assisted" in self.faults else Mode.AUTONOMOUS
        proposals = Proposals(mode, valid_ns=50 * SECOND)
        traded = [each._replace(version=str(self.versions[each.market.name])) for each in self.traded]
        return Core(traded, CAPITAL, PATIENCE, proposals=proposals)

    def die(self) -> None:
        """End the process; whatever was on its way to it is lost."""
        self.core, self.life, self.connected, self.read, self.strange.known_ns = None, self.life + 1, False, False, 0
        self.compared = False
        self.asleep_ns = 0
        self.together, self.taken_ns = Plan(self.moment), 0
        self.later(self.process.randint(1, 40) * SECOND, self.start)

    def feed(self, event: Event) -> None:
        """Hand an event to the process, if there is one; to one that is suspended, once it goes on."""
        if self.asleep:
            self.soon(self.asleep_ns - self.now_ns, event)
        else:
            said = self._after_splits(event)
            self._carry_out(said, lambda core: core.step(said, self.moment))

    def _after_splits(self, event: Event) -> Event:
        """Return an event; a bar with what was split since the newest one that the process has lived through."""
        if self.core is None or not isinstance(event, events.BarClosed):
            return event
        seat, closed_us = self.core.seats[event.bar.market], int(event.bar.event_at[0].astype("datetime64[us]").astype(np.int64))
        done = [
            (seat.places[symbol], ratio) for at_ns, symbol, ratio in self.splits
            if symbol in seat.places and seat.last_us < (EPOCH_NS + at_ns) // 1000 <= closed_us
        ]  # fmt: skip
        if not done:
            return event
        split = np.ones(len(seat.symbols))
        for place, ratio in done:
            split[place] *= ratio
        return replace(event, actions=Actions(split, split.copy()))

    def soon(self, delay_ns: int, event: Event) -> None:
        """Hand an event to this very process in a while."""
        life = self.life
        self.later(delay_ns, lambda: self.feed(event) if self.life == life else None)

    def _carry_out(self, event: Event, step: Callable[[Core], Plan]) -> None:
        if self.core is None:
            return
        self.steps += 1
        plan = step(self.core)
        self.note(event, plan)
        if isinstance(event, events.BarClosed) and not self.core.halted:
            self.swept += [(event.bar.market, each.client_order_id) for each in plan.requests if isinstance(each, Cancel)]
        self.together.records += plan.records
        self.together.requests += plan.requests
        # What waits is written with what comes next, unless an order is to be sent.
        if not plan.submits and self.fails("grouped", 0.3):
            return
        plan, self.together = replace(self.together, at=plan.at), Plan(plan.at)
        try:
            self._write(plan)
            if self.checks is not None:
                self.checks(self, event, plan)
            self._send(plan.requests)
        except Died:
            self.die()

    def _write(self, plan: Plan) -> None:
        if self.fails("crash_before_write", 0.003):
            raise Died("before writing")
        if plan.records:
            assert self.core is not None
            self.store.append(plan.records, self.core.packed())
            self.core.noted(len(self.store.rows))
            self.strange.follow(plan.records, self.now_ns)
        if self.fails("crash_after_write", 0.003):
            raise Died("after writing")

    def _send(self, requests: list[Request]) -> None:
        for request in requests:
            if self.fails("crash_while_sending", 0.03):
                raise Died("while sending")
            self._request(request)

    def note(self, event: Event, plan: Plan) -> None:
        """Add a step to the trace."""
        told = [(record.kind, sorted(record.payload.items())) for record in plan.records]
        self.trace.update(f"{self.now_ns} {_told(event)} {told} {plan.requests}\n".encode())

    # The wire to the broker

    def _request(self, request: Request) -> None:
        if isinstance(request, Submit):
            self._submit(request)
        elif isinstance(request, Cancel):
            self.cancelled.add(request.client_order_id)
            self.later(self._delay(), lambda: self._cancel(request))
        elif isinstance(request, Find):
            self._find(request)
        else:
            self._sync(request)

    def _delay(self) -> int:
        slow = self.wire.randint(1, 8) * SECOND if self.fails("delayed", 0.1) else 0
        return self.wire.randint(1, 200) * 1_000_000 + slow

    def _submit(self, request: Submit) -> None:
        name, life = request.order.client_order_id, self.life
        self.sent.append(name)
        if self.fails("lost_before", 0.08):
            self.soon(3 * SECOND, Answered(name, Answer.UNKNOWN, reason="the connection was reset"))
            return
        refuse = self.fails("refused", 0.1)
        lost = self.fails("lost_after", 0.15) or self.fails("server_error", 0.1)
        slow_ns = 0
        if self.fails("timed_out", 0.1):
            lost, slow_ns = True, self.wire.randint(3, 12) * SECOND
            self.soon(2 * SECOND, Answered(name, Answer.UNKNOWN, reason="no answer within 2 s"))

        def arrive() -> None:
            held = self.broker.submit(name, request.order.symbol, request.quantity, self.now_ns, refuse=refuse)
            answer = Answered(name, Answer.REFUSED, reason="insufficient buying power")
            if held is not None:
                answer = Answered(name, Answer.ACKED, held.report)
            if lost:
                answer = Answered(name, Answer.UNKNOWN, reason="504")
            if self.life == life:
                self.soon(self._delay(), answer)

        self.later(self._delay() + slow_ns, arrive)

    def _cancel(self, request: Cancel) -> None:
        if self.fails("cancel_ignored", 0.3):
            return
        reason = self.broker.cancel(request.broker_id, self.now_ns)
        if reason:
            self.soon(self._delay(), events.CancelRefused(request.client_order_id, reason))

    def _find(self, request: Find) -> None:
        if self.fails("mute_reads", 0.3):
            return

        def read() -> None:
            held = self.broker.orders.get(request.client_order_id)
            self.soon(self._delay(), events.Found(request.client_order_id, held.report if held else None, request.asked_ns))

        life = self.life
        self.later(self._delay(), lambda: read() if self.life == life else None)

    def _sync(self, request: Sync) -> None:
        if self.fails("mute_reads", 0.3):
            return
        life, joined = self.life, self.joined
        self.later(self._delay(), lambda: self._read(request, joined) if self.life == life else None)

    def _read(self, request: Sync, joined: int) -> None:
        life = self.life
        start = int(request.since or 0)
        wanted = {*request.client_order_ids, *(held.client_order_id for held in self.broker.open())}
        reports = tuple(held.report for name, held in self.broker.orders.items() if name in wanted)
        lag_ns = self.wire.randint(1, 8) * SECOND if self.fails("lagging", 0.5) else 0
        then = [each for each in self.broker.history if each.ns <= self.now_ns - lag_ns] or self.broker.history[:1]
        # A cursor steps back a little: what was read at the edge is read again.
        cursor = str(max(len(self.broker.ledger) - 2, 0))
        executions = tuple(self.broker.ledger[start:])
        charges = tuple(self.broker.charges[max(start - CHARGES_BACK, 0) :])
        clock_ns = EPOCH_NS + self.now_ns
        said = events.Synced(
            reports, executions, charges, dict(then[-1].positions), then[-1].cash, cursor, request.asked_ns, clock_ns
        )
        self.later(self._delay(), lambda: self._hand_over(said, joined) if self.life == life else None)

    def _hand_over(self, said: events.Synced, joined: int) -> None:
        """Hand over a reading, and note what the process may know from it."""
        if self.asleep:
            life = self.life
            self.later(self.asleep_ns - self.now_ns, lambda: self._hand_over(said, joined) if self.life == life else None)
            return
        assert self.core is not None
        if said.asked_ns >= self.taken_ns:  # of two at a time the second tells the process nothing
            told = self.strange.stands and said.positions == self.broker.positions()
            self.strange.told = {symbol for symbol, size in self.strange.sizes.items() if size and told}
            self.strange.known_ns, self.taken_ns = (self.strange.known_ns or self.now_ns) if told else 0, self.moment.monotonic_ns
        self.read |= joined == self.joined
        self.compared = True
        self.feed(said)

    def _tell(self, report: Report, execution: Execution | None) -> None:
        """Put news on the stream."""
        if not self.connected or self.fails("dropped", 0.15):
            return
        for _ in range(2 if self.fails("duplicated", 0.2) else 1):
            self.soon(self._delay(), events.Heard(report, execution))
        if self.fails("old_report", 0.1):
            self.soon(20 * SECOND, events.Heard(report, execution))

    def join(self) -> None:
        """Connect the stream."""
        if self.asleep:
            self.later(self.asleep_ns - self.now_ns, self.join)
        elif self.core is not None and not self.connected:
            self.connected, self.read, self.joined = True, False, self.joined + 1
            self.feed(events.Joined(Channel.ORDERS))

    # What goes on by itself

    def work(self) -> None:
        """Let the broker's open orders live a little."""
        for held in self.broker.open():
            if self.broker.chance.random() < 0.25:
                self.broker.work(held, self.now_ns)
        self.later(SECOND // 2, self.work)

    def tick(self) -> None:
        """Let the process see that time passes."""
        self.feed(events.Ticked())
        self.later(SECOND, self.tick)

    def close_bars(self, traded: Traded) -> None:
        """Close a market's bars, one after another."""
        self.later(CLOSES_NS[traded.market.name], lambda: (self.bar(traded), self.close_bars(traded)))

    def bar(self, traded: Traded) -> None:
        """Close a bar, and hand it over in one of the ways in which bars come."""
        market = traded.market.name
        self.bars[market] += 1
        for symbol in traded.symbols:
            move = Decimal(self.market_chance.randint(-60, 60)) / 10_000
            self.prices[symbol] = (self.prices[symbol] * (1 + move)).quantize(Decimal("0.01"))
        if self.fails("another_model", 0.1) and self.core is not None and not self.asleep:
            self.versions[market] += 1
            self.feed(events.TookOver(market, str(self.versions[market]), traded.params))
        said = self._closed(traded, self.bars[market])
        if self.fails("repeated_bar", 0.2):
            self.soon(2 * SECOND, said)
        if self.fails("late_bar", 0.1):
            self.soon(self.market_chance.randint(1, 20) * MINUTE, said)
        else:
            self.feed(said)
        self.later(self.operator.randint(1, 9 if self.healed else 55) * SECOND, self.answer)

    def _closed(self, traded: Traded, number: int) -> events.BarClosed:
        names = traded.symbols
        close = np.array([[float(self.prices[symbol]) for symbol in names]])
        spoiled = close.copy()
        if self.fails("bad_bar", 0.2):
            spoiled[0, self.market_chance.randrange(len(names))] = self.market_chance.choice([np.nan, np.inf, -1.0, 0.0])
        ahead = MINUTE * 3 if self.fails("future_bar", 0.1) else 0
        at = np.array([(EPOCH_NS + self.now_ns + ahead) // 1000], dtype="datetime64[us]")
        volume = np.full_like(close, 1e6)
        opened_at = at - np.timedelta64(60, "s")
        bar = Panel(traded.market.name, "1m", names, opened_at, at, spoiled.copy(), spoiled.copy(), spoiled.copy(), spoiled, volume)
        centre = np.array([self.market_chance.gauss(0.0, 0.01) for _ in names])
        forecast = centre[:, None] + 0.01 * recorded.NORMAL[None, :]
        assert forecast.shape[1] == len(LEVELS)
        if self.fails("no_forecast", 0.2):
            forecast[:] = np.nan
        closing = self.market_chance.choice([0.0, 0.02, 0.1]) if "closes" in self.faults and number % 8 == 7 else math.inf
        return events.BarClosed(bar, forecast, np.full(len(names), 0.005), float(number // 12), closing)

    def meddle(self) -> None:
        """Let people and machines do what they do to a running process."""
        chance = self.operator
        self.later(chance.randint(5, 20) * SECOND, self.meddle)
        if self.healed:
            return
        if self.fails("disconnected", 0.2) and self.connected and not self.asleep:
            self.connected = False
            self.feed(events.Lost(Channel.ORDERS))
            self.later(chance.randint(1, 30) * SECOND, self.join)
        if self.fails("suspended", 0.05):
            self.asleep_ns = self.now_ns + chance.choice([8, 45, 100]) * SECOND
        if self.fails("disk_full", 0.1):
            self.store.full = not self.store.full
        if self.fails("clock_jump", 0.1):
            self.skew_ns = chance.choice([-3600, -60, -1, 0, 1, 60, 3600]) * SECOND
        self._speak(chance)
        if self.fails("untradable", 0.1) and self.core is not None and not self.asleep:
            self.untradable = frozenset(symbol for symbol in SYMBOLS if chance.random() < 0.3)
            self.feed(events.Listed(self.untradable))
        self._tamper(chance)
        if self.fails("ordered_by_hand", 0.1):
            symbol = chance.choice(SYMBOLS)
            size, by_value = Decimal(chance.choice([-5, 3, 8])), chance.random() < 0.4
            self.broker.submit(f"by-hand-{self.now_ns}", symbol, size, self.now_ns, by_value=by_value)

    def _tamper(self, chance: random.Random) -> None:
        """Let shares and money move that no order moved: there and back, because a trade is taken back, or as a great loss."""
        if self.fails("moved_by_hand", 0.05) and self.strange.moved is None:
            self.strange.move(chance.choice(self.shares), Decimal(chance.choice([-4, 7])), self.now_ns)
        elif self.strange.moved is not None and chance.random() < 0.05:
            self.strange.move_back(self.now_ns)
        trades = [place for place, done in enumerate(self.broker.ledger) if done.symbol in self.shares]
        if self.fails("busted", 0.04) and trades:
            self.strange.bust(chance.choice(trades), self.now_ns)
        if self.fails("plunges", 0.02) and self.broker.losses < PLUNGES:
            self.broker.charge(-self.broker.cash * Decimal("0.4"), self.now_ns)
            self.soon(2 * MINUTE, events.Commanded(f"resume-{self.now_ns}", False, "operator", "what is lost is lost"))
        if self.fails("split", 0.04):
            symbol, ratio = chance.choice(SYMBOLS), chance.choice([2, 4])
            self._tell_later(self.broker.split(symbol, ratio, self.now_ns))
            # A person who corrects what a split has moved, before the broker tells of it, corrects too much.
            self.strange.at_ns = self.now_ns
            self.splits.append((self.now_ns, symbol, ratio))
        if self.fails("coins_taken", 0.1) and "two_markets" in self.faults:
            self._tell_later(self.broker.take(chance.choice(SYMBOLS[2:]), self.now_ns))
        if "busted" in self.faults and self.strange.stands and not self.untold and chance.random() < 0.2:
            self.feed(events.Corrected(f"correct-{self.now_ns}", "operator", "the broker took a trade back"))

    @property
    def shares(self) -> tuple[str, ...]:
        """The symbols of which nobody takes a fee: what is missing of coins may have been one."""
        return SYMBOLS[:2] if "two_markets" in self.faults else SYMBOLS

    def _tell_later(self, charge: Charge | None) -> None:
        """Let readings tell of what moved shares, at once or in a while."""
        if charge is None:
            return
        self.untold.append(charge)

        def tell() -> None:
            self.untold.remove(charge)
            self.broker.charges.append(charge)

        self.later(self.wire.choice([0, 0, 5, 40]) * SECOND, tell)

    def _speak(self, chance: random.Random) -> None:
        """Let a person say something: halt, resume, orders and cancels; and say some of it twice."""
        if self.fails("halted_by_hand", 0.1):
            word = f"halt-{self.now_ns}"
            self.feed(events.Commanded(word, True, "operator", "just in case"))
            self.soon(MINUTE, events.Commanded(f"resume-{self.now_ns}", False, "operator", "go on"))
            if chance.random() < 0.3:
                self.soon(2 * MINUTE, events.Commanded(word, True, "operator", "the same command again"))
        if self.fails("by_hand", 0.4):
            name, symbol = f"order-{self.now_ns}", chance.choice(SYMBOLS)
            terms = Terms(OrderKind.LIMIT, TimeInForce.GTC, limit_price=float(self.prices[symbol]))
            said = events.Asked(name, "operator", "a feeling", symbol, Decimal(chance.choice([-900, -5, 3, 700])), terms)
            self.feed(said)
            if chance.random() < 0.3:
                self.soon(chance.randint(1, 90) * SECOND, said)
        if self.fails("by_hand", 0.3) and self.core is not None and self.core.desk.orders:
            name = chance.choice(list(self.core.desk.orders))
            self.feed(events.Withdrawn(f"cancel-{self.now_ns}", "operator", "on second thought", name))

    def answer(self) -> None:
        """Let a person answer what the process proposes: as it is, changed, not at all, or for the second time."""
        chance, open_ = self.operator, self.core.proposals.open if self.core is not None else {}
        for name, proposal in list(open_.items()):
            quantity = proposal.quantity if self.healed or chance.random() < 0.6 else chance.choice([None, proposal.quantity * 3])
            said = events.Decided(f"answer-{self.now_ns}-{name}", "operator", "why not", name, quantity)
            if self.healed or chance.random() < 0.8:
                self.feed(said)
            if chance.random() < 0.2:
                self.soon(chance.randint(1, 20) * SECOND, replace(said, identity=f"{said.identity}-again"))

    def correct(self) -> None:
        """Let the account follow the broker, over and over while a trade that was taken back keeps it from trading."""
        if self.core is not None and not self.core.ready and not self.untold and "busted" in self.faults:
            self.feed(events.Corrected(f"correct-{self.now_ns}", "operator", "the broker is right"))
        self.later(20 * SECOND, self.correct)

    @property
    def digest(self) -> str:
        """Return the digest of everything that went in and came out so far."""
        return self.trace.hexdigest()


def _told(event: Event) -> str:
    """Return an event as text that is the same in every process."""
    if isinstance(event, events.BarClosed):
        return f"bar {event.bar.market} {event.bar.event_at[0]} {event.bar.close.tolist()} {event.forecast.tolist()}"
    if isinstance(event, events.Listed):
        return f"listed {sorted(event.untradable)}"
    return repr(event)


def unresolved(world: World) -> list[str]:
    """Return the orders of which the core does not know what became of them."""
    assert world.core is not None
    return [name for name, each in world.core.desk.orders.items() if each.state in {OrderState.INTENT, OrderState.UNKNOWN}]


def open_orders(world: World) -> list[str]:
    """Return the open orders of ours at the broker."""
    return [name for name, held in world.broker.orders.items() if held.state not in TERMINAL and not name.startswith("by-hand")]


def journalled(world: World, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of a kind."""
    return [record.payload for record in world.store.records(kind)]
