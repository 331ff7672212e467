"""One order: whatever is said of it, in whatever order and however often, its fills count once and nothing goes back."""

from datetime import UTC, datetime
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.order import MOVES, TERMINAL, Order, OrderState, Terms
from pipelines.execution.core import remembered, working
from pipelines.execution.core.events import Execution, Report
from pipelines.execution.core.working import Working
from pipelines.journal import Stored

QUANTITY = Decimal("-12.5")
PARTS = (Decimal("0.5"), Decimal(2), Decimal(3), Decimal(7))
ORDER = Order("a:1:x", "a", "AAA", float(QUANTITY), datetime(2024, 1, 2, tzinfo=UTC), "1", 100.0, Terms())
SAID = sorted(set(OrderState) - {OrderState.INTENT, OrderState.UNKNOWN})


def made_of(parts):
    """Return the executions of an order that fills in these parts."""
    done, total = [], Decimal(0)
    for part in parts:
        total += part
        done.append(Execution(ORDER.client_order_id, "AAA", -part, Decimal(100), Decimal(0), total, 0))
    return done


ALL = made_of(PARTS)


class OneOrder(RuleBasedStateMachine):
    """Executions and reports come in any order, again and again; a naive list says what should be booked."""

    def __init__(self):
        super().__init__()
        self.working = Working(ORDER, QUANTITY)
        self.seen = set()
        self.ended = None

    @rule(which=st.integers(0, len(ALL) - 1))
    def execution(self, which):
        done = ALL[which]
        if not self.working.knows(done):
            assert self.working.fault(done) == ""
            self.working.book(done)
        self.seen.add(which)

    @rule(which=st.integers(0, len(ALL) - 1), state=st.sampled_from(SAID))
    def report(self, which, state):
        before = self.working.state
        self.working.report(Report(ORDER.client_order_id, "B1", "AAA", QUANTITY, state, ALL[which].cumulative), 1)
        after = self.working.state
        assert after == before or after in working.reachable(before)
        if before in TERMINAL:
            assert after == before

    @rule()
    def restart(self):
        again = remembered.rebuilt(self.records())[ORDER.client_order_id]
        assert (again.booked, again.reported, again.quantity, again.order) == (
            self.working.booked, self.working.reported, self.working.quantity, self.working.order,
        )  # fmt: skip
        assert again.state == (OrderState.UNKNOWN if self.working.state == OrderState.INTENT else self.working.state)
        self.working = again

    def records(self):
        """Return what the journal would hold of the order: its intent, its executions, where it stands."""
        fills = [
            ("fill", {"client_order_id": [ORDER.client_order_id], "cumulative": [str(cumulative)], "size": [str(size)]})
            for cumulative, size in self.working.booked.items()
        ]  # fmt: skip
        moves = [] if self.working.state == OrderState.INTENT else [("order", remembered.move(self.working, ""))]
        told = [("intent", {"orders": remembered.told([Working(ORDER, QUANTITY)])}), *moves, *fills]
        return [Stored(0, 0, kind, "", payload, place, None, "", "") for place, (kind, payload) in enumerate(told)]

    @invariant()
    def counted_once(self):
        assert self.working.filled == sum((PARTS[which] for which in self.seen), Decimal(0))
        assert 0 <= self.working.reserved <= abs(QUANTITY) - self.working.filled
        assert not self.working.settled or self.working.reserved == 0
        if self.working.state not in TERMINAL:
            assert self.working.reserved == abs(QUANTITY) - self.working.filled


OneOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestOneOrder = OneOrder.TestCase


def naive(state):
    """Return what can be reached, by walking."""
    found, left = set(), list(MOVES[state])
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += MOVES[each]
    return found


@pytest.mark.fault("F53", "F62", "F74")
@given(st.sampled_from(sorted(OrderState)))
def test_reachable_is_what_a_walk_finds(state):
    """The closure of the moves."""
    assert working.reachable(state) == naive(state)


@pytest.mark.fault("F72")
@given(
    st.sampled_from([
        Execution("a:1:x", "AAA", Decimal("-13"), Decimal(100), Decimal(0), Decimal(13), 0),  # more than was ordered
        Execution("a:1:x", "AAA", Decimal(2), Decimal(100), Decimal(0), Decimal(2), 0),  # the other side
        Execution("a:1:x", "BBB", Decimal(-2), Decimal(100), Decimal(0), Decimal(2), 0),  # another symbol
        Execution("a:1:x", "AAA", Decimal(-2), Decimal("NaN"), Decimal(0), Decimal(2), 0),
        Execution("a:1:x", "AAA", Decimal(-2), Decimal(0), Decimal(0), Decimal(2), 0),
        Execution("a:1:x", "AAA", Decimal(-3), Decimal(100), Decimal(0), Decimal(2), 0),  # more than all before it and it
        Execution("a:1:x", "AAA", Decimal(0), Decimal(100), Decimal(0), Decimal(2), 0),
        Execution("a:1:x", "AAA", Decimal("-Infinity"), Decimal(100), Decimal(0), Decimal(2), 0),
    ])
)  # fmt: skip
def test_what_cannot_be_of_an_order_is_named(execution):
    """It is not booked, whatever came before."""
    assert Working(ORDER, QUANTITY).fault(execution)


def test_executions_that_overlap_are_named():
    """Two of 5 that end at 5 and at 7 cannot both be."""
    order = Working(ORDER, QUANTITY)
    first, second = (Execution("a:1:x", "AAA", Decimal(-5), Decimal(1), Decimal(0), Decimal(end), 0) for end in (5, 7))
    order.book(first)
    assert "12.5" in order.fault(second)
