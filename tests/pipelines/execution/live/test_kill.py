"""A trader killed at any moment, with the genuine client, at an exchange that misbehaves: nothing is lost and nothing doubled."""

import pytest

from tests.pipelines.execution.live.rounds import audit, rounds

ROUNDS = 12


@pytest.mark.fault("F01", "F47", "F49", "F50", "F54", "F69")
@pytest.mark.slow
def test_nothing_is_lost_or_doubled_whenever_it_dies(tmp_path):
    """Every order of the exchange was intended once, every execution is booked once, and the money is the same to the cent."""
    truth, records, ready = rounds(tmp_path, ROUNDS, 3)
    assert len(truth["executions"]) > 20
    assert len(ready) >= ROUNDS // 3
    audit(tmp_path, truth, records)
