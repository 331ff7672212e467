"""The paper exchange against arithmetic done by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.execution import fills
from tests.pipelines.execution import recorded

NOTHING = math.nan


def exchange(orders, opened, close, volume, sigma, *, cash=1_000_000.0, held=None, average=None, market="us_equity", **sections):
    """Live through one bar and return (book, executions, charge)."""
    chosen, params = recorded.terms(market, **sections)
    columns = [np.asarray(values, dtype=float) for values in (orders, opened, close, volume, sigma)]
    book, out = fills.Book.opened(len(orders), cash), fills.blank(len(orders))
    if held is not None:
        book.quantity[:], book.average[:], book.mark[:] = held, average, average
    charge, _, _ = fills.step(fills.venue(chosen, params), *columns, book, out)
    return book, out, charge


def test_a_buy_pays_half_the_spread_slippage_impact_and_fee():
    """100 at 50, 1% of volume at 2% volatility: 2 bps of touch and 0.5 * 0.02 * sqrt(0.01) = 10 bps of impact, 0.5 bps of fee."""
    book, out, charge = exchange([100], [50], [51], [10_000], [0.02])

    price = 50 * (1 + 0.0002 + 0.001)
    assert out.price[0] == pytest.approx(price, rel=1e-15)
    assert out.fee[0] == pytest.approx(100 * price * 0.00005, rel=1e-15)
    assert book.cash[0] == pytest.approx(1_000_000 - 100 * price - 100 * price * 0.00005, rel=1e-15)
    assert (book.quantity[0], book.mark[0], charge) == (100, 51, 0)
    assert fills.worth(book) == (5100, 5100, 0)


def test_a_position_without_a_price_is_worth_what_it_cost():
    """It may have been booked before its symbol's first bar: equity without a number would shut the kill latch."""
    book = fills.Book.opened(2, 1_000.0)
    fills.settle_one(book, 0, 10.0, 20.0, 0.0)
    assert np.isnan(book.mark[0])
    assert fills.close_bar(book, np.array([NOTHING, NOTHING]), 0.0) == (1_000.0, 200.0)


def test_a_capital_in_whole_units_keeps_its_cents():
    """An account that is opened with a whole number pays fractions all the same."""
    book = fills.Book.opened(1, 1_000)
    fills.settle_one(book, 0, 3.0, 1.25, 0.01)
    assert book.cash.tolist() == [996.24]


def test_a_sale_gets_less_than_the_open():
    """The same costs work against a seller."""
    _, out, _ = exchange([-100], [50], [51], [10_000], [0.02])

    assert out.price[0] == pytest.approx(50 * (1 - 0.0012), rel=1e-15)


def test_what_exceeds_the_share_of_volume_expires():
    """A tenth of 1,234 is 123 whole shares; of a volume of nothing or unknown, none."""
    _, out, _ = exchange([500, -500, 500, 500], [10] * 4, [10] * 4, [1234, 1234, 0, NOTHING], [0.01] * 4)

    assert out.quantity.tolist() == [123, -123, 0, 0]


def test_without_a_bar_nothing_fills_and_the_mark_stays():
    """A missing bar fills nothing; what is held is worth what it was."""
    book, out, _ = exchange([100, 0], [NOTHING] * 2, [NOTHING] * 2, [NOTHING] * 2, [0.02] * 2, held=[0, 10], average=[0, 7])

    assert out.quantity.tolist() == [0, 0]
    assert book.mark.tolist() == [0, 7]
    assert book.cash[0] == 1_000_000


def test_an_unknown_volatility_has_no_impact():
    """Before the first volatility is known, a fill pays the touch alone."""
    _, out, _ = exchange([100], [50], [50], [10_000], [NOTHING])

    assert out.price[0] == pytest.approx(50 * 1.0002, rel=1e-15)


def test_borrow_is_paid_on_what_is_short_at_the_close():
    """50 bps a year over 252 bars, on 200 shares short at 30."""
    book, _, charge = exchange([0, 0], [29, 10], [30, 11], [1e6] * 2, [0.02] * 2, held=[-200, 50], average=[28, 9])

    assert charge == pytest.approx(200 * 30 * 0.005 / 252, rel=1e-14)
    assert book.cash[0] == 1_000_000 - charge


def test_volume_caps_nothing_in_a_market_whose_volume_is_a_count_of_ticks():
    """FX fills in full at an hour of three ticks, and at one without any."""
    _, out, _ = exchange([1e6, 1e6], [1.1, 1.1], [1.1, 1.1], [3, 0], [0.001] * 2, market="fx")

    assert out.quantity.tolist() == [1e6, 1e6]


@given(
    units=st.integers(0, 10**9),
    lot=st.sampled_from([1.0, 0.1, 0.01, 0.001, 0.0001, 100.0]),
    side=st.sampled_from([-1.0, 1.0]),
)
def test_a_whole_number_of_lots_is_not_cut(units, lot, side):
    """Rounding to lots is idempotent and never adds."""
    quantity = side * units * lot

    once = fills.whole_lots(quantity, lot)

    assert once == pytest.approx(quantity, rel=1e-12)
    assert fills.whole_lots(once, lot) == once
    assert abs(fills.whole_lots(quantity + side * 0.6 * lot, lot)) == pytest.approx(abs(quantity), rel=1e-12, abs=1e-12)


def test_fills_booked_one_by_one_are_fills_booked_together():
    """A trader that hears of its fills in turn ends with the exchange's own book, to the bit."""
    rng = np.random.default_rng(3)
    together, apart, out = fills.Book.opened(5, 1e6), fills.Book.opened(5, 1e6), fills.blank(5)
    for _ in range(200):
        out.quantity[:] = np.where(rng.random(5) < 0.5, 0, np.round(rng.normal(0, 100, 5)))
        out.price[:], out.fee[:] = rng.lognormal(3, 0.3, 5), rng.random(5)

        fills.settle(together, out)
        for s in np.flatnonzero(out.quantity).tolist():
            fills.settle_one(apart, s, out.quantity[s], out.price[s], out.fee[s])

    assert [values.tobytes() for values in together] == [values.tobytes() for values in apart]


def test_lots_do_not_overflow():
    """2e11 units of lots of 1e-8 are 2e19 lots, more than 64 bits count."""
    assert fills.whole_lots(2e11, 1e-8) == pytest.approx(2e11, rel=1e-14)
    assert fills.whole_lots(-2e11, 1e-8) == pytest.approx(-2e11, rel=1e-14)
