"""Clocks: the only place that reads the time."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.clock import ReplayClock, SystemClock, nanoseconds

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    """A naive time never enters the house."""
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_replay_clock_stands_still_until_it_is_moved() -> None:
    """Two readings are equal."""
    clock = ReplayClock(NOON)

    assert clock.now() == clock.now() == NOON


def test_a_replay_clock_refuses_to_run_backwards() -> None:
    """Time running backwards stops the line."""
    clock = ReplayClock(NOON)

    with pytest.raises(ValueError, match="backwards"):
        clock.advance(NOON - timedelta(microseconds=1))


def test_nanoseconds_are_exact_where_a_float_would_round() -> None:
    """2262-04-11 is 9223286400 s after 1970, counted by hand; its microsecond survives."""
    at = datetime(2262, 4, 11, tzinfo=UTC) + timedelta(microseconds=1)

    assert nanoseconds(at) == 9_223_286_400 * 1_000_000_000 + 1_000
