"""What a row shows by itself, by its key and by its place in the file."""

import bisect
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.bar import BAR_KEY

PRICES = ("open", "high", "low", "close")
CONTENT = (*PRICES, "volume", "vwap", "trades")

#: Relative room for rounding: single-precision vendors are off by 6e-8, adjusted prices printed with seven digits by 5e-7.
ROUNDING = 1e-6


def single(table: pl.DataFrame) -> pl.DataFrame:
    """Add what one row alone shows: missing_price, nonpositive_price, range_broken, negative_volume.

    A comparison with a missing price says nothing, so the row is only missing_price. A missing volume is no defect, an
    infinite one counts as negative_volume: neither is a quantity.
    """
    price = [pl.col(name) for name in PRICES]
    widest, tightest = pl.max_horizontal("open", "close", "low"), pl.min_horizontal("open", "close", "high")
    return table.with_columns(
        missing_price=pl.any_horizontal([p.is_null() | ~p.is_finite().fill_null(False) for p in price]),
        nonpositive_price=pl.any_horizontal([(p <= 0).fill_null(False) for p in price]),
        range_broken=(
            (widest > pl.col("high") * (1 + ROUNDING)) | (tightest < pl.col("low") * (1 - ROUNDING)).fill_null(False)
        ).fill_null(False)
        & pl.all_horizontal([p.is_finite().fill_null(False) for p in price]),
        negative_volume=((pl.col("volume") < 0) | ~pl.col("volume").is_finite()).fill_null(False),
    )


def keys(table: pl.DataFrame, key: Sequence[str] = BAR_KEY, content: Sequence[str] = CONTENT) -> pl.DataFrame:
    """Add duplicate_key, and `conflict` where rows of one key differ in their content.

    Of rows that say the same the first is no defect; where they differ nobody knows which is right, and all of them are.

    Two rows are the same bar when BAR_KEY is equal: another `known_at` makes a row a revision, which is no defect. Other tables
    have another key.
    """
    table = table.with_columns(again=~pl.struct(key).is_first_distinct())
    twice = table.filter("again").select(key).unique()
    if twice.is_empty():
        return table.rename({"again": "duplicate_key"}).with_columns(conflict=pl.lit(False))
    same = table.join(twice, on=key, how="semi", nulls_equal=True).group_by(key).agg(conflict=pl.struct(content).n_unique() > 1)
    table = table.join(same, on=key, how="left", nulls_equal=True, maintain_order="left")
    table = table.with_columns(pl.col("conflict").fill_null(False))
    return table.with_columns(duplicate_key=pl.col("again") | pl.col("conflict")).drop("again")


def order(table: pl.DataFrame) -> pl.DataFrame:
    """Add time_backwards to rows in the source's own order: the fewest rows of a symbol whose removal leaves it in order.

    The order may be ascending or descending: the one that most neighbours of the symbol follow. Time also runs backwards within
    a row, in `clock_broken`, that closes before it opens or is known before it closes: a feature would read the future.
    """
    wrong = backwards(table, "opened_at")
    clock = (pl.col("event_at") <= pl.col("opened_at")) | (pl.col("known_at") < pl.col("event_at"))
    table = table.with_columns(clock_broken=clock.fill_null(False))
    return table.with_columns(time_backwards=pl.col("row").is_in(wrong) | pl.col("clock_broken"))


def backwards(table: pl.DataFrame, time: str) -> list[int]:
    """Return the `row` numbers of the fewest rows of each symbol whose removal leaves `time` running in one direction."""
    step = pl.col(time).diff().dt.total_microseconds().sign().over("symbol")
    ways = (
        table.select("symbol", step=step)
        .group_by("symbol", maintain_order=True)
        .agg(up=(pl.col("step") > 0).sum(), down=(pl.col("step") < 0).sum())
    )
    broken = ways.filter((pl.col("up") > 0) & (pl.col("down") > 0))
    wrong: list[int] = []
    for symbol, up, down in broken.iter_rows():
        rows = table.filter(pl.col("symbol") == symbol).select("row", at=pl.col(time).dt.epoch("us"))
        at = rows["at"].to_numpy()
        wrong += rows["row"].to_numpy()[_disordered(at if up >= down else -at)].tolist()
    return wrong


def _disordered(at: npt.NDArray[np.int64]) -> list[int]:
    """Return the places outside the longest non-decreasing subsequence (patience sorting, Fredman 1975)."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for place, value in enumerate(at.tolist()):
        pile = bisect.bisect_right(tails, value)
        tails[pile : pile + 1] = [value]
        ends[pile : pile + 1] = [place]
        before.append(ends[pile - 1] if pile else -1)
    kept = set()
    place = ends[-1]
    while place >= 0:
        kept.add(place)
        place = before[place]
    return [place for place in range(len(before)) if place not in kept]
