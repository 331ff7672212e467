"""What may be held while a market is closed, by hand: half days, holidays, weekends, and markets that never close."""

import math

import numpy as np
import pytest

from pipelines.execution import gaps
from tests.pipelines.execution import recorded

NIGHT, WEEKEND = 0.5, 0.25


def most(name, closes, bars=1):
    """Return what decisions at these closes may lead to."""
    market, params = recorded.terms(
        name, risk={"overnight_gross_max": NIGHT, "weekend_gross_max": WEEKEND, "closing_bars": bars}
    )  # fmt: skip
    return gaps.most(market, params.risk, np.array(closes, dtype="datetime64[us]")).tolist()


@pytest.mark.parametrize(
    ("name", "bars", "expected"),
    [
        # A daily bar is filled at an open and held over the night that follows it: Thursday's decision over Friday's weekend.
        ("us_equity", 1, {"2024-05-29T20:00": NIGHT, "2024-05-30T20:00": WEEKEND, "2024-05-31T20:00": NIGHT}),
        # Friday is a holiday (Good Friday 2024): what Wednesday decides is held over a long weekend.
        ("us_equity", 1, {"2024-03-26T20:00": NIGHT, "2024-03-27T20:00": WEEKEND, "2024-03-28T20:00": NIGHT}),
        # Five minutes: the last decision but one is filled by the bar that ends the session; the last one, after the night.
        ("us_equity_5m", 1, {"2024-05-30T19:50": math.inf, "2024-05-30T19:55": NIGHT, "2024-05-30T20:00": math.inf}),
        ("us_equity_5m", 3, {"2024-05-30T19:40": math.inf, "2024-05-30T19:45": NIGHT, "2024-05-30T20:00": math.inf}),
        # A half day ends at one in New York (3 July 2024), and a holiday follows.
        ("us_equity_5m", 1, {"2024-07-03T16:50": math.inf, "2024-07-03T16:55": WEEKEND, "2024-07-03T19:55": math.inf}),
        # The last of a year looks into the next one.
        ("us_equity_5m", 1, {"2024-12-31T20:55": WEEKEND, "2024-12-30T20:55": NIGHT}),
        # FX rolls at 17:00 in New York without a pause, but on Friday.
        ("fx", 1, {"2024-05-30T20:00": math.inf, "2024-05-31T19:00": math.inf, "2024-05-31T20:00": WEEKEND}),
        ("crypto", 2, {"2024-05-31T23:00": math.inf, "2024-06-01T00:00": math.inf}),
    ],
)  # fmt: skip
def test_what_may_be_held_is_known_before_the_close(name, bars, expected):
    """The calendar says so beforehand, bar by bar as for all at once."""
    closes = list(expected)
    assert most(name, closes, bars) == list(expected.values())
    assert [most(name, [close], bars)[0] for close in closes] == list(expected.values())


def test_without_bars_there_is_nothing_to_say():
    """An empty panel is no error."""
    assert most("us_equity", []) == []
