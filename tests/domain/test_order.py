"""Orders move forward only, by the moves that Alpaca's life cycle knows."""

import itertools

import pytest
from alpaca.trading.enums import OrderClass as VendorClass
from alpaca.trading.enums import OrderStatus, OrderType
from alpaca.trading.enums import TimeInForce as VendorTime

from domain.order import MOVES, TERMINAL, OrderClass, OrderKind, OrderState, TimeInForce

OURS = {OrderState.INTENT, OrderState.UNKNOWN}
#: Alpaca's documented life cycle, each a legal path ("Orders at Alpaca", order lifecycle; trade updates' events).
PATHS = [
    "pending_new accepted new filled",
    "accepted new partially_filled partially_filled filled",
    "accepted new partially_filled canceled",
    "held new pending_cancel canceled",
    "held canceled",
    "new pending_cancel filled",
    "new pending_cancel new filled",
    "partially_filled pending_cancel partially_filled filled",
    "new pending_replace replaced",
    "new pending_replace new",
    "partially_filled pending_replace filled",
    "new done_for_day new",
    "new done_for_day expired",
    "accepted rejected",
    "new suspended new",
    "new stopped filled",
    "new calculated filled",
    "accepted expired",
    "intent unknown new",
    "intent unknown rejected",
    "intent filled",
]
#: What can never happen, whatever a wire says.
IMPOSSIBLE = [
    "filled new",
    "canceled filled",
    "rejected accepted",
    "replaced new",
    "partially_filled rejected",
    "accepted pending_replace",
    "pending_new pending_replace",
    "pending_cancel pending_cancel",
    "partially_filled accepted",
    "new pending_new",
    "new unknown",
    "unknown intent",
]


def test_every_state_has_its_moves_and_terminal_ones_none():
    """No state is forgotten; what ended stays ended."""
    assert set(MOVES) == set(OrderState)
    assert {state for state, moves in MOVES.items() if not moves} == TERMINAL


def test_the_words_are_those_of_the_vendor():
    """Every status that the genuine client knows is a state here, and every kind, time and class of ours is one of its own."""
    assert {status.value for status in OrderStatus} == {state.value for state in OrderState if state not in OURS}
    assert {kind.value for kind in OrderType} == {kind.value for kind in OrderKind}
    assert {time.value for time in VendorTime} == {time.value for time in TimeInForce}
    assert {each.value for each in OrderClass} <= {each.value for each in VendorClass}


@pytest.mark.parametrize("path", PATHS)
def test_the_documented_life_cycles_are_legal(path):
    """Each step of a documented path is a legal move."""
    states = [OrderState(word) for word in path.split()]
    for before, after in itertools.pairwise(states):
        assert after in MOVES[before]


@pytest.mark.parametrize("path", IMPOSSIBLE)
def test_what_cannot_happen_is_no_move(path):
    """Neither back from an end, nor to a request where none is possible, nor to what only we know."""
    before, after = (OrderState(word) for word in path.split())
    assert after not in MOVES[before]


def test_nothing_leads_back_to_what_is_ours():
    """Once a broker has spoken of an order it is neither an intent nor unknown any more."""
    for state in set(OrderState) - OURS:
        assert not MOVES[state] & OURS
