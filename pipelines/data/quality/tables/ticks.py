"""Ticks: the suites of trades and quotes.

Scales are robust: medians and medians of absolute differences over the rows of a symbol, in logarithms. A tick has no bar around
it, so that prices are judged against the medians of the five prints on each side, like closes (`prices`).
"""

from datetime import timedelta

import polars as pl

from pipelines.data.quality import calendars
from pipelines.data.quality import rows as raw
from pipelines.data.quality.prices import MEDIAN, MOTION_MIN, REVERSED, SIDE, WINDOW
from pipelines.data.quality.suite import Expectation
from pipelines.data.quality.tables.rule import (
    CLOSED,
    DISORDERED,
    DUPLICATE,
    EARLY,
    FUTURE,
    MISSING,
    Around,
    Rule,
    Suite,
    at,
    keyed,
    number,
    timed,
    value,
)  # fmt: skip

#: A trade and the quotes around it arrive in any order within this time of each other.
SETTLED, SETTLING = timedelta(seconds=1), "3s"
#: Quotes older than this say nothing of a trade.
STALE = timedelta(seconds=60)

_PRINT = pl.format("price {}, size {}", value("price"), value("size"))
_QUOTE = pl.format("bid {} x {}, ask {} x {}", value("bid"), value("bid_size"), value("ask"), value("ask_size"))

TRADES = (
    Rule("missing_price", "Every trade has a finite price",
         pl.format("missing_price: found {}; expected a finite price", _PRINT), impossible=True),
    Rule("nonpositive_price", "Every price is above zero",
         pl.format("nonpositive_price: found {}; expected a price above 0", _PRINT), impossible=True),
    Rule("impossible_size", "Every size is a finite number, zero (taken back) or more",
         pl.format("impossible_size: found {}; expected a finite size of 0 or more", _PRINT), impossible=True),
    MISSING, DUPLICATE, EARLY, FUTURE, CLOSED, DISORDERED,
    Rule("price_spike", "No lone print is reversed at once",
         pl.format("price_spike: found {} at {}; the prints on both sides are near {}", _PRINT, at("event_at"),
                   pl.col("near").round_sig_figs(6))),
    Rule("outside_quote", "Trades happen between bid and ask",
         pl.format("outside_quote: found {} at {}; the quotes before and after lie between {} and {}", _PRINT, at("event_at"),
                   pl.col("lowest"), pl.col("highest"))),
    Rule("improbable_size", "Sizes are of the order that they usually are",
         pl.format("improbable_size: found {} at {}; the median of the symbol is {}", _PRINT, at("event_at"),
                   pl.col("usual").round_sig_figs(6))),
)  # fmt: skip
QUOTES = (
    Rule("missing_price", "A quote has a finite bid or ask",
         pl.format("missing_price: found {}; expected a finite bid or ask", _QUOTE), impossible=True),
    Rule("nonpositive_price", "Bid and ask are above zero",
         pl.format("nonpositive_price: found {}; expected prices above 0", _QUOTE), impossible=True),
    Rule("impossible_size", "Sizes are finite numbers, zero or more",
         pl.format("impossible_size: found {}; expected finite sizes of 0 or more", _QUOTE), impossible=True),
    Rule("crossed", "The bid lies below the ask: the spread is never negative",
         pl.format("crossed: found {} at {}; expected a bid below the ask", _QUOTE, at("event_at")), impossible=True),
    MISSING, DUPLICATE, EARLY, FUTURE, CLOSED, DISORDERED,
    Rule("locked", "Bid and ask differ", pl.format("locked: found {} at {}; expected a spread", _QUOTE, at("event_at"))),
    Rule("one_sided", "A quote has both sides",
         pl.format("one_sided: found {} at {}; expected bid and ask", _QUOTE, at("event_at"))),
    Rule("wide_spread", "The spread is of the order that it usually is",
         pl.format("wide_spread: found {} at {}; the median spread of the symbol is {}", _QUOTE, at("event_at"),
                   pl.col("usual").round_sig_figs(3))),
    Rule("price_spike", "No lone quote is reversed at once",
         pl.format("price_spike: found {} at {}; the quotes on both sides are near {}", _QUOTE, at("event_at"),
                   pl.col("near").round_sig_figs(6))),
)  # fmt: skip


def trades(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine trades: single rows, keys, time, neighbours, and the quotes around them where they are at hand.

    A trade of size zero takes one back and is judged by nothing but its row.
    """
    rows = rows.with_columns(
        missing_price=~number("price"),
        nonpositive_price=pl.col("price") <= 0,
        impossible_size=~number("size") | (pl.col("size") < 0),
    )
    rows = keyed(rows, ["symbol", "event_at", "trade_id", "known_at"], ["price", "size", "side"])
    rows = _ordered(timed(rows, around), around)
    sound = number("price") & (pl.col("price") > 0) & (pl.col("size") > 0)
    judged = _spiking(rows.filter(sound), pl.col("price"), around)
    judged = _improbable(judged, around)
    judged = _quoted(judged, around.quotes)
    columns = ["row", "near", "price_spike", "usual", "improbable_size", "lowest", "highest", "outside_quote"]
    return rows.join(judged.select(columns), on="row", how="left", maintain_order="left")


def quotes(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine quotes: single rows, keys, time, and neighbours."""
    both = number("bid") & number("ask")
    rows = rows.with_columns(
        missing_price=~number("bid") & ~number("ask"),
        one_sided=number("bid") != number("ask"),
        nonpositive_price=(pl.col("bid") <= 0) | (pl.col("ask") <= 0),
        impossible_size=pl.any_horizontal(
            (~pl.col(name).is_finite() | (pl.col(name) < 0)).fill_null(value=False) for name in ("bid_size", "ask_size")
        ),
        crossed=both & (pl.col("bid") > pl.col("ask")),
        locked=both & (pl.col("bid") == pl.col("ask")),
    )
    content = ["bid", "bid_size", "ask", "ask_size"]
    rows = _ordered(timed(keyed(rows, ["symbol", "event_at", "sequence", "known_at"], content), around), around)
    sound = both & (pl.col("bid") > 0) & (pl.col("bid") <= pl.col("ask"))
    judged = _spiking(rows.filter(sound), (pl.col("bid") * pl.col("ask")).sqrt(), around)
    judged = _wide(judged, around)
    return rows.join(
        judged.select("row", "near", "price_spike", "usual", "wide_spread"), on="row", how="left", maintain_order="left"
    )


def _ordered(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `out_of_order`, judged in the source's own order, and `market_closed`, by the market's calendar if there is one."""
    rows = rows.with_columns(out_of_order=pl.col("row").is_in(raw.backwards(rows, "event_at")))
    if around.market is None:
        return rows.with_columns(market_closed=pl.lit(None, pl.Boolean))
    hours = calendars.hours(rows.select("row", opened_at=pl.col("event_at")), around.market)
    return rows.join(hours.select("row", "market_closed"), on="row", how="left", maintain_order="left")


def _spiking(rows: pl.DataFrame, price: pl.Expr, around: Around) -> pl.DataFrame:
    """Add `price_spike` and `near`: a price `spike_sigma` deviations from the medians on both sides, which agree.

    The deviation is that of one print: the median of the moves around that are not zero, over 0.6745, at least two basis points.
    """
    rows = rows.sort("symbol", "event_at", "row").with_columns(x=price.log())
    x = pl.col("x")
    move = x.diff().abs()
    moved = pl.when(move > 0).then(move)
    rows = rows.with_columns(
        before=x.shift(1).rolling_median(SIDE, min_samples=1).over("symbol"),
        after=x.reverse().shift(1).rolling_median(SIDE, min_samples=1).reverse().over("symbol"),
        motion=moved.rolling_median(WINDOW, center=True, min_samples=1).over("symbol") / MEDIAN,
    )
    up, down = x - pl.col("before"), x - pl.col("after")
    distance = pl.min_horizontal(up.abs(), down.abs())
    agreed = (up * down > 0) & ((pl.col("before") - pl.col("after")).abs() <= REVERSED * distance)
    far = distance > around.limits.spike_sigma * pl.max_horizontal("motion", pl.lit(MOTION_MIN))
    return rows.with_columns(price_spike=agreed & far, near=((pl.col("before") + pl.col("after")) / 2).exp())


def _improbable(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `improbable_size`, a size far above the median of its symbol, and `usual`, that median.

    Far is `spike_sigma` robust deviations of its logarithm (median absolute deviation over 0.6745), and `volume_break_ratio` times
    the median at least: sizes of one lot have no deviation.
    """
    size = pl.col("size").log()
    middle = size.median().over("symbol")
    deviation = (size - middle).abs().median().over("symbol") / MEDIAN
    far = pl.max_horizontal(around.limits.spike_sigma * deviation, pl.lit(around.limits.volume_break_ratio).log())
    return rows.with_columns(improbable_size=size - middle > far, usual=middle.exp())


def _wide(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `wide_spread`, a spread `volume_break_ratio` times the median of its symbol, and `usual`, that median.

    A spread of less than two basis points is never wide: where the median is one tick, eight ticks still cost nothing.
    """
    spread = pl.col("ask") - pl.col("bid")
    middle = pl.when(spread > 0).then(spread).median().over("symbol")
    relative = (pl.col("ask") / pl.col("bid")).log()
    wide = (spread > around.limits.volume_break_ratio * middle) & (relative > MOTION_MIN)
    return rows.with_columns(wide_spread=wide, usual=middle)


def _quoted(rows: pl.DataFrame, quoted: pl.DataFrame | None) -> pl.DataFrame:
    """Add `outside_quote`: a price more than a median spread beyond everything quoted around it, by the receiver's clock.

    A trade and the quotes that it leaves behind arrive in any order, so that all quotes of the SETTLED before and after it count,
    and where there are none the last one. Also adds `lowest` and `highest` of them, all null without quotes.
    """
    if quoted is None or quoted.is_empty():
        nothing = {"lowest": pl.Float64, "highest": pl.Float64, "outside_quote": pl.Boolean}
        return rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in nothing.items())
    sides = quoted.filter(pl.col("bid") <= pl.col("ask")).sort("symbol", "known_at")
    sides = sides.select(
        "symbol",
        settled_at="known_at",
        lowest=pl.col("bid").rolling_min_by("known_at", SETTLING, closed="both").over("symbol"),
        highest=pl.col("ask").rolling_max_by("known_at", SETTLING, closed="both").over("symbol"),
        spread=(pl.col("ask") - pl.col("bid")).median().over("symbol"),
    )
    rows = rows.with_columns(settled_at=pl.col("known_at") + SETTLED).sort("settled_at", "row")
    rows = rows.join_asof(sides.sort("settled_at"), on="settled_at", by="symbol", tolerance=STALE, check_sortedness=False)
    beyond = pl.max_horizontal(pl.col("price") - pl.col("highest"), pl.col("lowest") - pl.col("price"))
    return rows.with_columns(outside_quote=beyond > pl.col("spread"))


TRADE_SUITE = Suite(
    "trades", TRADES, trades,
    (
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "price"}),
        Expectation("ExpectColumnValuesToBeBetween", {"column": "price", "min_value": 0, "strict_min": True}),
        Expectation("ExpectColumnValuesToBeBetween", {"column": "size", "min_value": 0}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "event_at", "trade_id", "known_at"]}),
    ),
)  # fmt: skip
QUOTE_SUITE = Suite(
    "quotes", QUOTES, quotes,
    (
        Expectation("ExpectColumnPairValuesAToBeGreaterThanB",
                    {"column_A": "ask", "column_B": "bid", "or_equal": True, "ignore_row_if": "either_value_is_missing"}),
        Expectation("ExpectColumnValuesToBeBetween", {"column": "bid", "min_value": 0, "strict_min": True}),
        Expectation("ExpectColumnValuesToBeBetween", {"column": "ask", "min_value": 0, "strict_min": True}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "event_at", "sequence", "known_at"]}),
    ),
)  # fmt: skip
