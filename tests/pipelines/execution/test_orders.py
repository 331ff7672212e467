"""Orders: names that make sending twice the same as sending once, and a digest that sees every bit."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import polars as pl

from pipelines.execution import orders

AT = np.datetime64("2016-03-04T21:00:00.250001", "us")


def test_an_order_is_named_by_what_led_to_it():
    """Market, model version, decision time and symbol: the same decision makes the same names."""
    made = orders.intents("us_equity", "7", AT, ("A", "B", "C"), np.array([10.0, 0.0, -2.5]), np.array([1.0, 2.0, 3.0]))

    assert [order.client_order_id for order in made] == ["us_equity:7:2016-03-04T21:00:00:A", "us_equity:7:2016-03-04T21:00:00:C"]
    assert [order.quantity for order in made] == [10.0, -2.5]
    assert made[0].decided_at == datetime(2016, 3, 4, 21, 0, 0, 250001, tzinfo=UTC)


def test_the_digest_is_sha256_over_one_line_an_order():
    """The line is what a person would write: microseconds, symbol, quantity and price in hexadecimal floating point."""
    table = pl.DataFrame({
        "decided_at": pl.Series([orders.moment(AT)] * 2),
        "symbol": ["A", "B"],
        "quantity": [10.0, 0.0],
        "reference_price": [0.1, 5.0],
    })  # fmt: skip

    line = f"{orders.microseconds(AT)} A {(10.0).hex()} {(0.1).hex()}\n"
    assert orders.digest(table) == hashlib.sha256(line.encode()).hexdigest()


def test_the_digest_sees_the_last_bit():
    """A price that differs by one unit in the last place is another digest."""
    table = pl.DataFrame({"decided_at": [orders.moment(AT)], "symbol": ["A"], "quantity": [3.0], "reference_price": [0.1]})
    other = table.with_columns(reference_price=pl.lit(float(np.nextafter(0.1, 1))))

    assert orders.digest(table) != orders.digest(other)
