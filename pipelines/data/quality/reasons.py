"""The sentence that goes with a row: the defect, what was found, what was expected."""

import polars as pl

from pipelines.data.quality.rows import PRICES

_PRICES = pl.concat_str(
    [pl.format(name + " {}", pl.col(name).cast(pl.String).fill_null("null")) for name in PRICES], separator=", "
)
_MISSING = pl.col("missing").cast(pl.Int64)
_NEAR = pl.col("near").round_sig_figs(6)


def _at(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime("%Y-%m-%d %H:%M UTC")


#: What is said of rows that leave the batch.
IMPOSSIBLE: dict[str, pl.Expr] = {
    "missing_price": pl.format("missing_price: found {}; expected four finite prices", _PRICES),
    "nonpositive_price": pl.format("nonpositive_price: found {}; expected prices above 0", _PRICES),
    "range_broken": pl.format("range_broken: found {}; expected low <= open, close <= high", _PRICES),
    "negative_volume": pl.format("negative_volume: found {}; expected a finite volume of 0 or more", pl.col("volume")),
    "duplicate_key": pl.when("conflict")
    .then(pl.format("duplicate_key: found rows at {} that contradict each other; expected one", _at("opened_at")))
    .otherwise(pl.format("duplicate_key: found the same row at {} again; expected it once", _at("opened_at"))),
    "time_backwards": pl.when("clock_broken")
    .then(
        pl.format(
            "time_backwards: found a bar that opened at {}, closed at {} and was known at {}; expected them in this order",
            *(_at(name) for name in ("opened_at", "event_at", "known_at")),
        )
    )
    .otherwise(
        pl.format(
            "time_backwards: found {} out of the order of the rows around it; expected one direction of time", _at("opened_at")
        )
    ),
    "market_closed": pl.format(
        "market_closed: found a bar at {}; expected none outside the sessions, extended hours included", _at("opened_at")
    ),
    "decimal_shift": pl.format("decimal_shift: found {}; expected prices near {} as on both sides", _PRICES, _NEAR),
}

#: What is said of rows that stay; bars of extended hours are as expected, only elsewhere.
SUSPICIOUS: dict[str, pl.Expr] = {
    "price_spike": pl.format("price_spike: found {}; the closes on both sides are near {}", _PRICES, _NEAR),
    "price_jump": pl.format(
        "price_jump: found a close of {} after {}; a split, a spin-off or news", pl.col("close"), pl.col("previous")
    ),
    "volume_break": pl.format(
        "volume_break: found a session with {} times the volume of those before it; another venue or unit",
        pl.col("volume_ratio").round_sig_figs(3),
    ),
    "unlikely": pl.format(
        "unlikely: found a {} that {} in a million bars have by the profile learned before; expected less",
        pl.col("least_measure"),
        (pl.col("least_p") * 1e6).round_sig_figs(2),
    ),
    "after_gap": pl.format("after_gap: found {} of the bars that the calendar expects missing before this one", _MISSING),
}


def explain(rows: pl.DataFrame, sentences: dict[str, pl.Expr]) -> pl.DataFrame:
    """Add `reason`: one sentence for each of these defects that a row has, joined by " | "; null if it has none."""
    said = [pl.when(name).then(sentence) for name, sentence in sentences.items()]
    reason = pl.concat_str(said, separator=" | ", ignore_nulls=True)
    return rows.with_columns(reason=pl.when(pl.any_horizontal(list(sentences))).then(reason))
