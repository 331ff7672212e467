"""What the journal says came of trading: each record at its bar, whatever the clocks showed."""

import math

import pytest

from pipelines.execution import facts
from pipelines.journal import Journal, Record
from tests.pipelines.execution import recorded

MARKET, _ = recorded.terms()
FILL = {"client_order_id": ["x"], "symbol": ["AAA"], "quantity": [1.0], "price": [10.0], "fee": [0.0], "realised": [0.0]}
INTENT = {
    "model": "1", "symbol": ["AAA"], "asked": [1.0], "quantity": [1.0], "mark": [10.0], "found": [None], "limit": [None],
    "outcome": ["approved"], "rule": ["none"], "reason": ["forecast"],
}  # fmt: skip


def bar(minute):
    at = minute * 60_000_000
    return "bar", {"opened_at_us": at - 60_000_000, "event_at_us": at, "equity": 1.0, "gross": 0.0, "charge": 0.0, "cash": 1.0}


def read(path, *told, clock=lambda place: place):
    """Write records with a clock of their own, and read what came of them."""
    with Journal(path / "journal.db") as journal:
        for place, (kind, payload) in enumerate(told):
            journal.append(Record(clock(place), 0, kind, "core", payload))
        return facts.read(journal, MARKET, ("AAA",), 1.0, halted=False)


@pytest.mark.parametrize("clock", [lambda place: place, lambda place: -place, lambda place: 2**62])
def test_a_record_is_of_the_bar_that_is_written_next(tmp_path, clock):
    """Whether the clock went back, stood still or ran ahead; what follows the newest bar is of one yet to come."""
    told = (("intent", INTENT), bar(1), ("fill", FILL), ("fill", FILL), ("intent", INTENT), bar(2), bar(3), ("fill", FILL))
    found = read(tmp_path, *told, clock=clock)

    assert found.ordered.row.tolist() == [0, 1]
    assert found.filled.row.tolist() == [1, 1]


def test_only_the_open_may_be_unknown(tmp_path):
    """A live fill does not know the open of its bar, which is yet to close; any other number that is missing is a fault."""
    assert math.isnan(read(tmp_path / "a", ("fill", FILL), bar(1)).filled.opened[0])
    with pytest.raises(KeyError, match="fee"):
        read(tmp_path / "b", ("fill", {name: values for name, values in FILL.items() if name != "fee"}), bar(1))
