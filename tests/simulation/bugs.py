"""Planted bugs: one patch each, most of them bugs that trading systems have had.

A simulation that does not find them proves nothing.

Each is a function that patches the core by name; `patch.setattr` undoes it. What it stands for is its docstring.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest

from domain.decision import Outcome
from domain.order import OrderState
from pipelines.execution import risk, trader
from pipelines.execution.core import desk, machine, readiness, reconciling, remembered, seat, working
from pipelines.execution.core.desk import Desk
from pipelines.execution.core.events import Answer, Answered
from pipelines.execution.core.hand import Hand
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Find, Submit
from pipelines.execution.core.proposals import Proposals
from pipelines.execution.core.readiness import Readiness
from pipelines.execution.core.seat import Seat
from pipelines.execution.core.splits import Splits
from pipelines.execution.core.working import Working
from tests.simulation.world import SYMBOLS, World

Patch = pytest.MonkeyPatch
BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    """Register a planted bug under its function's name."""
    BUGS[plant.__name__] = plant
    return plant


def wrapped(patch: Patch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by `around(original, *arguments)`."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **keys: around(original, *arguments, **keys))


def _ready(core: Core, said: Any, plan: Any) -> None:
    """Be ready without reading what was read."""
    core.readiness.synced, core.readiness.synced_ns, core.readiness.asked_ns = True, plan.at.monotonic_ns, 0


@bug
def fills_booked_by_arrival(patch: Patch) -> None:
    """A fill that comes by two channels is booked twice."""
    patch.setattr(Working, "knows", lambda self, execution: False)
    patch.setattr(Working, "fault", lambda self, execution: "")


@bug
def fills_deduplicated_by_time(patch: Patch) -> None:
    """Fills are told apart by nothing finer than the last one booked."""
    patch.setattr(Working, "knows", lambda self, execution: bool(self.booked) and execution.cumulative <= max(self.booked))


@bug
def timeout_is_a_refusal(patch: Patch) -> None:
    """An order whose answer is lost counts as not sent (lumibot, LEAN's Alpaca plugin of 2024)."""

    def around(original: Any, self: Desk, said: Answered, plan: Any) -> None:
        original(self, replace(said, answer=Answer.REFUSED) if said.answer == Answer.UNKNOWN else said, plan)

    wrapped(patch, Desk, "answered", around)


@bug
def timeout_is_sent_again(patch: Patch) -> None:
    """An order whose answer is lost is sent once more."""

    def around(original: Any, self: Core, event: Any, at: Any) -> Any:
        plan = original(self, event, at)
        if isinstance(event, Answered) and event.answer == Answer.UNKNOWN:
            known = self.desk.known(event.client_order_id)
            if known is not None:
                plan.requests.append(Submit(known.order, known.quantity))
        return plan

    wrapped(patch, Core, "step", around)


@bug
def absent_at_the_first_look(patch: Patch) -> None:
    """An order that the broker does not know yet counts as lost for good."""
    patch.setattr(Desk, "_proves_absence", lambda self, working, asked_ns: True)


@bug
def horizon_from_the_last_look(patch: Patch) -> None:
    """The time after which absence is proven starts anew at every look, and never ends."""
    patch.setattr(Desk, "_proves_absence", lambda self, working, asked_ns: asked_ns - working.looked_ns >= self.patience.horizon_ns)


@bug
def never_looks(patch: Patch) -> None:
    """Nobody asks what became of an order without an answer."""
    patch.setattr(Desk, "look", lambda self, plan: None)


@bug
def unknown_reserves_nothing(patch: Patch) -> None:
    """Only acknowledged orders count as exposure."""

    def reserved(self: Working) -> Decimal:
        if self.state in {OrderState.INTENT, OrderState.UNKNOWN}:
            return Decimal(0)
        return max((self.reported if self.ended else abs(self.quantity)) - self.filled, Decimal(0))

    patch.setattr(Working, "reserved", property(reserved))


@bug
def partly_filled_is_released(patch: Patch) -> None:
    """A partial fill frees the whole reservation."""
    patch.setattr(
        Working, "reserved", property(lambda self: Decimal(0) if self.filled or self.ended else abs(self.quantity) - self.filled)
    )


@bug
def ended_orders_are_forgotten(patch: Patch) -> None:
    """What ended takes no more fills, so that the fill behind a cancel is lost (trading-signals, issue 1060)."""
    patch.setattr(Working, "settled", property(lambda self: self.ended))
    wrapped(
        patch, Desk, "execute", lambda original, self, execution, plan: ""
        if execution.client_order_id in self.ended else original(self, execution, plan),
    )  # fmt: skip


@bug
def old_news_is_believed(patch: Patch) -> None:
    """The state that came last is taken, whatever came before."""
    patch.setattr(working, "moved", lambda before, said: said)


@bug
def events_of_unanswered_orders_are_dropped(patch: Patch) -> None:
    """News of an order whose submission has not been answered is thrown away (lumibot)."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        known = self.desk.known(said.report.client_order_id)
        if known is not None and known.state == OrderState.INTENT:
            return
        original(self, said, plan)

    wrapped(patch, Core, "_heard", around)
    patch.setattr(Core, "_synced", _ready)


@bug
def stream_alone_is_enough(patch: Patch) -> None:
    """Nothing is read after a reconnect: what was said meanwhile is lost."""
    patch.setattr(Core, "_synced", _ready)


@bug
def executions_are_not_read_again(patch: Patch) -> None:
    """A reading of the account takes orders and positions, and leaves fills to the stream."""
    wrapped(
        patch, Core, "_synced", lambda original, self, said, plan: original(self, replace(said, executions=()), plan)
    )  # fmt: skip


@bug
def cursor_runs_ahead(patch: Patch) -> None:
    """The cursor moves past fills that could not be booked yet."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        original(self, said, plan)
        self.cursor = said.cursor

    wrapped(patch, Core, "_synced", around)


@bug
def ready_at_once(patch: Patch) -> None:
    """A process trades from its first bar on, before it has read the account."""
    wrapped(patch, Core, "_tend", lambda original, self, plan: (setattr(self.readiness, "synced", True), original(self, plan)))


@bug
def difference_is_ignored(patch: Patch) -> None:
    """A position at the broker that is not in the journal is noted and nothing else (bytex, issue 30)."""
    patch.setattr(readiness, "differences", lambda desk, said: {})


@bug
def difference_is_final(patch: Patch) -> None:
    """A single reading decides: a broker whose positions lag for seconds stops the trader for good."""

    def around(original: Any, self: Readiness, said: Any, strangers: int, plan: Any) -> None:
        original(self, said, strangers, plan)
        if self.doubts:
            self.lost.add("trust")

    wrapped(patch, Readiness, "judge", around)


@bug
def kill_latch_in_memory(patch: Patch) -> None:
    """A restart opens the kill latch (hummingbot)."""

    def around(original: Any, self: Core, raw: bytes, records: Any, at: Any) -> Core:
        original(self, raw, records, at)
        for each in self.seats.values():
            each.trader.gate.account[risk.LATCHED] = 0.0
        return self

    wrapped(patch, Core, "restore", around)


@bug
def kill_is_not_written(patch: Patch) -> None:
    """A halt is obeyed and not recorded."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        original(self, said, plan)
        plan.records[:] = [record for record in plan.records if record.kind != "halt"]

    wrapped(patch, Core, "_commanded", around)


@bug
def command_repeats(patch: Patch) -> None:
    """A command that comes twice is honoured twice: an old halt shuts the latch again."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        self.commands.clear()
        original(self, said, plan)

    wrapped(patch, Core, "_commanded", around)


@bug
def halted_orders_stay_open(patch: Patch) -> None:
    """A halt stops new orders and leaves the open ones to fill."""
    patch.setattr(Desk, "cancel", lambda self, working, plan: None)


@bug
def bar_is_traded_twice(patch: Patch) -> None:
    """A bar that is delivered again is decided again."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        self.seats[said.bar.market].last_us = 0
        original(self, said, plan)

    wrapped(patch, Core, "_bar", around)


@bug
def late_bar_is_traded(patch: Patch) -> None:
    """A bar is fresh when it arrives, however old it is: to the core, and to the guard that would see a feed fallen silent."""
    wrapped(patch, Core, "_bar", lambda original, self, said, plan: _patient(original, self, said, plan, "late_ns"))
    wrapped(patch, Core, "tell", lambda original, self, seat, plan, _, *rest: original(self, seat, plan, plan.at.ns, *rest))


@bug
def future_bar_is_traded(patch: Patch) -> None:
    """A bar ahead of the clock is believed."""
    wrapped(patch, Core, "_bar", lambda original, self, said, plan: _patient(original, self, said, plan, "early_ns"))


def _patient(original: Any, self: Core, said: Any, plan: Any, name: str) -> None:
    patience = self.desk.patience
    self.desk.patience = patience._replace(**{name: 10**18})
    original(self, said, plan)
    self.desk.patience = patience


@bug
def forgets_by_age(patch: Patch) -> None:
    """What has ended is forgotten after a while, though every reading of the account begins before it (ours, until found)."""
    wrapped(patch, Desk, "forget", lambda original, self, said: original(self, replace(said, executions=())))


@bug
def forgets_charges(patch: Patch) -> None:
    """Only the newest charges are remembered, and older ones of the same reading are taken again."""

    def around(original: Any, self: Desk, said: Any) -> None:
        original(self, said)
        self.charged = {each.identity for each in said.charges[-5:]}

    wrapped(patch, Desk, "forget", around)


@bug
def bad_prices_pass(patch: Patch) -> None:
    """Zero, negative and infinite prices reach decisions."""
    patch.setattr(seat, "sound", lambda bar: bar)


@bug
def second_order_for_a_symbol(patch: Patch) -> None:
    """A bar orders again what the last bar's order may still fill (Knight Capital, in small)."""
    patch.setattr(Desk, "busy", lambda self: set())


@bug
def floats_add_up(patch: Patch) -> None:
    """Holdings are sums of binary fractions."""
    patch.setattr(Desk, "_book", _drifting)


def _drifting(self: Desk, symbol: str, held: float, quantity: float, price: float, fee: float) -> float:
    place = self.places.get(symbol)
    return 0.0 if place is None else float(desk.fills.settle_one(place.book, place.row, quantity, price, fee))


@bug
def sent_before_written(patch: Patch) -> None:
    """Orders leave, and are written with the next event."""

    def around(original: Any, self: Core, where: Seat, bar: Any, plan: Any) -> None:
        original(self, where, bar, plan)
        held = [record for record in plan.records if record.kind == "intent"]
        plan.records[:] = [record for record in plan.records if record.kind != "intent"]
        self.__dict__.setdefault("postponed", []).extend(held)

    wrapped(patch, Core, "_send", around)


@bug
def overfill_is_booked(patch: Patch) -> None:
    """Nobody checks what a fill says against its order, and keys are not compared."""
    patch.setattr(Working, "fault", lambda self, execution: "")
    patch.setattr(Working, "knows", lambda self, execution: Decimal(repr(float(execution.cumulative))) == -1)


@bug
def fee_is_forgotten(patch: Patch) -> None:
    """Fees do not leave the cash."""
    wrapped(patch, Desk, "charge", lambda original, self, charge, plan: original(self, replace(charge, amount=Decimal(0)), plan))


@bug
def foreign_orders_are_unseen(patch: Patch) -> None:
    """Orders that somebody placed by hand do not count."""

    def around(original: Any, self: Desk, said: Any, plan: Any) -> Any:
        if said.client_order_id.startswith("by-hand"):
            order = desk.Order(said.client_order_id, "", said.symbol, 0.0, plan.at.time, "", 0.0)
            return Working(order, Decimal(0), OrderState.REJECTED)
        return original(self, said, plan)

    wrapped(patch, Desk, "report", around)


@bug
def lost_channel_is_ignored(patch: Patch) -> None:
    """A reconnect changes nothing: what was known before is trusted."""
    patch.setattr(Readiness, "joined", lambda self, channel: self.lost.discard(channel))
    patch.setattr(Readiness, "due", lambda self, now_ns: not self.synced_ns)


@bug
def a_lost_look_ends_it(patch: Patch) -> None:
    """A look that is not answered is never made again."""

    def look(self: Desk, plan: Any) -> None:
        for each in self.orders.values():
            if each.state == OrderState.INTENT and plan.at.monotonic_ns - each.since_ns >= self.patience.answer_ns:
                each.state = OrderState.UNKNOWN
            if each.state == OrderState.UNKNOWN and not each.looked_ns:
                each.looked_ns = plan.at.monotonic_ns
                plan.requests.append(Find(each.order.client_order_id, plan.at.monotonic_ns))

    patch.setattr(Desk, "look", look)


@bug
def forecasts_do_not_matter(patch: Patch) -> None:
    """A missing forecast is taken for the last one."""
    kept: dict[int, Any] = {}

    def around(original: Any, who: Any, forecast: Any, *rest: Any) -> None:
        if not np.isnan(forecast).any():
            kept[0] = forecast
        original(who, kept.get(0, forecast), *rest)

    wrapped(patch, trader, "think", around)


@bug
def a_cent_is_a_dollar(patch: Patch) -> None:
    """Cash is compared so loosely that any difference passes, and positions are not compared."""
    patch.setattr(reconciling, "CENT", Decimal(10**9))
    wrapped(
        patch, readiness, "differences", lambda original, desk, said: {
            name: pair for name, pair in original(desk, said).items() if name == reconciling.CASH
        },
    )  # fmt: skip


@bug
def listings_are_read_once(patch: Patch) -> None:
    """What the broker has ceased to trade is opened all the same."""
    patch.setattr(Core, "_listed", lambda self, said, plan: None)


@bug
def the_old_model_goes_on(patch: Patch) -> None:
    """Another model has taken over, and orders still go out in the name of the one before."""
    patch.setattr(Core, "_took_over", lambda self, said, plan: None)


@bug
def a_group_is_half_written(patch: Patch) -> None:
    """Of several events written together only the records of the last one are."""

    def around(original: Any, self: World, plan: Any) -> None:
        original(self, replace(plan, records=plan.records[-1:]))

    wrapped(patch, World, "_write", around)


@bug
def proposals_are_sent_at_once(patch: Patch) -> None:
    """A person is to be asked, and the order is gone before they can answer."""
    patch.setattr(Seat, "for_person", lambda self, mode: np.zeros(len(self.symbols)))


@bug
def an_answer_leaves_its_proposal_open(patch: Patch) -> None:
    """Accepted twice, it is sent twice."""
    patch.setattr(Proposals, "end", lambda self, name, state, plan, actor="core": self._write(name, state, plan, actor=actor))


@bug
def a_word_counts_as_often_as_it_comes(patch: Patch) -> None:
    """A command that is found again after a restart is carried out again."""
    patch.setattr(Core, "heard_before", lambda self, said: False)


@bug
def people_need_no_gate(patch: Patch) -> None:
    """An order by hand goes out as it was asked for."""

    def around(original: Any, self: Hand, where: Seat, order: Any, quantity: float) -> Any:
        return original(self, where, order, quantity)._replace(quantity=quantity, outcome=Outcome.APPROVED)

    wrapped(patch, Hand, "_verdict", around)


@bug
def a_cancel_is_noted_and_forgotten(patch: Patch) -> None:
    """A person withdraws an order, and nobody tells the broker."""
    wrapped(patch, Working, "__setattr__", lambda original, self, name, value: name == "unwanted" or original(self, name, value))
    patch.setattr(Working, "unwanted", False, raising=False)


@bug
def a_bar_sweeps_everything(patch: Patch) -> None:
    """The orders of people are cancelled with those of the model before."""
    patch.setattr(machine, "HAND", "nobody")


@bug
def a_restart_reads_from_where_it_stood(patch: Patch) -> None:
    """What was sent before the newest reading and works still is not among the records that a restart reads."""

    def around(original: Any, self: Desk, said: Any) -> None:
        original(self, said)
        self.oldest = self.sequence

    wrapped(patch, Desk, "forget", around)


@bug
def moves_without_a_beginning_are_adopted(patch: Patch) -> None:
    """A restart makes an order of the end of one that was forgotten, and waits for its executions for ever."""

    def around(original: Any, stored: Any, found: Any, now_ns: int) -> None:
        name = stored.payload["client_order_id"]
        told = {"symbol": SYMBOLS[0], "quantity": "1", "by_value": False, "booked": {}}
        original(stored if name in found else replace(stored, payload={"adopted": told, **stored.payload}), found, now_ns)

    patch.setitem(remembered.READERS, "order", partial(around, remembered.READERS["order"]))


@bug
def readings_may_overlap(patch: Patch) -> None:
    """Of two readings under way the one begun later is believed, though it was read first: what is forgotten comes again."""

    def around(original: Any, self: Readiness, said: Any, now_ns: int) -> bool:
        self.taken_ns = 0
        return original(self, said, now_ns)

    wrapped(patch, Readiness, "admits", around)


@bug
def other_markets_do_not_count(patch: Patch) -> None:
    """Each market of an account keeps the limits of the whole by itself."""
    wrapped(patch, Seat, "worst", lambda original, self: original(self)._make([0.0] * 9))


@bug
def a_halt_is_of_one_market(patch: Patch) -> None:
    """A person halts the account, and its other market trades on."""

    def around(original: Any, self: Core, said: Any, plan: Any) -> None:
        original(self, said, plan)
        for each in list(self.seats.values())[1:]:
            each.trader.gate.account[risk.LATCHED] = 0.0

    wrapped(patch, Core, "_commanded", around)


@bug
def a_bar_sweeps_other_markets(patch: Patch) -> None:
    """A bar of one market cancels what works in another."""

    def around(original: Any, self: Core, where: Seat, heard: Any, plan: Any) -> None:
        places, where.places = where.places, dict.fromkeys(SYMBOLS, 0)
        original(self, where, heard, plan)
        where.places = places

    wrapped(patch, Core, "_send", around)


@bug
def a_restart_mixes_the_markets(patch: Patch) -> None:
    """What was kept of one market is put back into the other."""
    wrapped(patch, trader, "restore", lambda original, traders, raw: original(traders[::-1], raw))


@bug
def nobody_looks_at_the_hour(patch: Patch) -> None:
    """A market closes, and what may be held then is not asked."""
    wrapped(patch, Core, "_bar", lambda original, self, said, plan: original(self, replace(said, closing=float("inf")), plan))


@bug
def a_person_is_asked_before_the_close(patch: Patch) -> None:
    """What must go before a market closes waits for an answer (ours, until found)."""
    patch.setattr(Core, "_must_go", lambda self, where, said, equity: False)


@bug
def a_value_is_no_quantity(patch: Patch) -> None:
    """An order by value, somebody else's, reserves nothing, and its fills are refused (ours, until found)."""
    patch.setattr(Desk, "_bought_by", lambda self, said: said.quantity)
    patch.setattr(Working, "by_value", False, raising=False)
    wrapped(patch, Working, "__setattr__", lambda original, self, name, value: name == "by_value" or original(self, name, value))


@bug
def a_correction_leaves_the_book(patch: Patch) -> None:
    """A person lets the account follow the broker, and the gate goes on counting what is not there."""

    def around(original: Any, self: Desk, *told: Any, **keys: Any) -> None:
        places, self.places = self.places, {}
        original(self, *told, **keys)
        self.places = places

    wrapped(patch, Desk, "correct", around)


@bug
def a_correction_is_believed_at_once(patch: Patch) -> None:
    """What was read a moment ago is taken over, while an execution that explains it waits for its order (ours, until seed 5264)."""

    def around(original: Any, self: Readiness, said: Any, plan: Any, split: Any) -> Any:
        self.doubts = {name: replace(each, since_ns=0) for name, each in self.doubts.items() if name != readiness.UNBOOKED}
        self.synced_ns = plan.at.monotonic_ns
        return original(self, said, plan, split)

    wrapped(patch, Readiness, "correct", around)


@bug
def an_open_order_explains_a_difference(patch: Patch) -> None:
    """Positions are not compared while an order of their symbol is open, nor money while any is (ours, until found in seed 460)."""
    wrapped(
        patch,
        readiness,
        "differences",
        lambda original, desk, said: {
            name: pair
            for name, pair in original(desk, said).items()
            if name not in desk.busy() and not (name == "cash" and desk.busy())
        },
    )


@bug
def a_fall_is_not_written(patch: Patch) -> None:
    """The gate halts an account of one market, and no record says so (ours, until found in seed 2771)."""

    def around(original: Any, self: Core, reason: str, plan: Any, actor: str = "core") -> None:
        if not all(risk.halted(each.trader.gate) for each in self.seats.values()):
            original(self, reason, plan, actor)

    wrapped(patch, Core, "_halt", around)


@bug
def prices_do_not_follow_a_split(patch: Patch) -> None:
    """The shares are four times as many, and each is still worth what one was."""
    patch.setattr(Splits, "_rescale", lambda self, s, ratio: None)


@bug
def a_price_after_a_split_is_of_the_shares_before(patch: Patch) -> None:
    """A bar marks what is held before the broker has booked the split."""
    patch.setattr(Splits, "priced", lambda self, bar: bar)


@bug
def a_split_is_forgotten_by_a_restart(patch: Patch) -> None:
    """Who waits for a booking waits no more after a crash."""
    patch.setattr(Splits, "restore", lambda self, kept: None)


@bug
def an_order_is_of_the_shares_before(patch: Patch) -> None:
    """What the broker made of an open order at a split is not taken in, and its executions cannot be."""
    wrapped(
        patch,
        Working,
        "report",
        lambda original, self, said, now_ns: original(self, replace(said, quantity=self.quantity), now_ns),
    )


@bug
def a_fee_in_coins_is_booked_twice(patch: Patch) -> None:
    """What was believed before the broker told of it is booked again when it does."""
    patch.setattr(Desk, "_still_owed", lambda self, charge: charge.quantity)


@bug
def a_doubtful_position_is_reduced(patch: Patch) -> None:
    """While the account is not ready, what the broker holds otherwise is sold as well."""
    patch.setattr(Readiness, "knows", lambda self, symbol: self.compared)


@bug
def a_position_is_reduced_before_the_account_was_read(patch: Patch) -> None:
    """A new process closes what the journal says is held, and the broker holds no more."""
    patch.setattr(Readiness, "knows", lambda self, symbol: symbol not in self.doubts)
