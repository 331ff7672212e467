"""What a batch holds of each symbol: from when to when, and how much of it says little."""

import polars as pl

#: Sessions by which a symbol may begin later or end earlier than the batch before that is remarkable.
EDGE = 3
#: Share of a symbol's bars without volume or without a range from which on that is remarkable.
SHARE = 0.05

#: The coverage of a batch in which nothing is remarkable.
NOTHING = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "bars": pl.UInt32,
        "first": pl.Datetime("us", "UTC"),
        "last": pl.Datetime("us", "UTC"),
        "remark": pl.String,
    }
)


def coverage(table: pl.DataFrame) -> pl.DataFrame:
    """Return one row a symbol of examined bars whose coverage is remarkable, and why: `symbol`, `bars`, `first`, `last`, `remark`.

    A symbol is listed when it begins late or ends early against the whole batch, or when many of its bars have no volume (an
    index, a count that the source lacks) or no range (a close given as a bar).
    """
    spans = table.group_by("symbol").agg(
        bars=pl.len(),
        first=pl.col("opened_at").min(),
        last=pl.col("opened_at").max(),
        late=pl.col("ordinal").min(),
        early=pl.col("ordinal").max(),
        still=(pl.col("volume").fill_null(0) == 0).mean(),
        flat=(pl.col("high") == pl.col("low")).mean(),
    )
    spans = spans.with_columns(remark=pl.concat_str(_remarks(), separator="; ", ignore_nulls=True))
    return spans.filter(pl.col("remark") != "").select("symbol", "bars", "first", "last", "remark").sort("symbol")


def _remarks() -> list[pl.Expr]:
    late, early = pl.col("late") - pl.col("late").min(), pl.col("early").max() - pl.col("early")
    still, flat = ((pl.col(name) * 100).round(0).cast(pl.Int64) for name in ("still", "flat"))
    return [
        pl.when(late > EDGE).then(pl.format("begins {} sessions after the batch", late)),
        pl.when(early > EDGE).then(pl.format("ends {} sessions before the batch", early)),
        pl.when(pl.col("still") > SHARE).then(pl.format("{}% of its bars have no volume", still)),
        pl.when(pl.col("flat") > SHARE).then(pl.format("{}% of its bars have no range", flat)),
    ]
