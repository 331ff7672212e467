"""The sentence that goes with a row into quarantine: the defect, what was found, what was expected."""

import polars as pl

from pipelines.data.quality.rows import PRICES

_PRICES = pl.concat_str(
    [pl.format(name + " {}", pl.col(name).cast(pl.String).fill_null("null")) for name in PRICES], separator=", "
)
_AT = pl.col("opened_at").dt.strftime("%Y-%m-%d %H:%M UTC")

SENTENCES: dict[str, pl.Expr] = {
    "missing_price": pl.format("missing_price: found {}; expected four finite prices", _PRICES),
    "nonpositive_price": pl.format("nonpositive_price: found {}; expected prices above 0", _PRICES),
    "range_broken": pl.format("range_broken: found {}; expected low <= open, close <= high", _PRICES),
    "negative_volume": pl.format("negative_volume: found {}; expected a finite volume of 0 or more", pl.col("volume")),
    "duplicate_key": pl.when("conflict")
    .then(pl.format("duplicate_key: found rows at {} that contradict each other; expected one", _AT))
    .otherwise(pl.format("duplicate_key: found the same row at {} again; expected it once", _AT)),
    "time_backwards": pl.format(
        "time_backwards: found {} out of the order of the rows around it; expected one direction of time", _AT
    ),
    "market_closed": pl.format(
        "market_closed: found a bar at {}; expected none outside the sessions, extended hours included", _AT
    ),
    "decimal_shift": pl.format(
        "decimal_shift: found {}; expected prices near {} as on both sides", _PRICES, pl.col("near").round_sig_figs(6)
    ),
}


def explain(wrong: pl.DataFrame) -> pl.DataFrame:
    """Add `reason`: one sentence for each impossible defect of a row, joined by " | "."""
    sentences = [pl.when(name).then(sentence) for name, sentence in SENTENCES.items()]
    return wrong.with_columns(reason=pl.concat_str(sentences, separator=" | ", ignore_nulls=True))
