"""Orders move forward only."""

from domain.order import MOVES, TERMINAL, OrderState


def test_every_state_has_its_moves_and_terminal_ones_none():
    """No state is forgotten; what ended stays ended."""
    assert set(MOVES) == set(OrderState)
    assert {state for state, moves in MOVES.items() if not moves} == TERMINAL


def test_no_order_goes_back():
    """From no state can one be reached that leads to it, but for partial fills, which may follow one another."""

    def reachable(state, seen=frozenset()):
        fresh = MOVES[state] - seen
        return fresh.union(*(reachable(move, seen | fresh) for move in fresh)) if fresh else fresh

    for state in OrderState:
        assert state not in reachable(state) or state == OrderState.PARTIALLY_FILLED


def test_what_was_partly_filled_was_not_rejected():
    """A rejection is an answer to the whole order."""
    assert OrderState.REJECTED not in MOVES[OrderState.PARTIALLY_FILLED]
