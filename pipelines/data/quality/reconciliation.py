"""Reconciliation: two sources for the same bars, and what each of their differences is called.

Prices are compared as logarithms of their ratio. Its median over a few bars is the level at which the two sources stand to each
other: zero where they agree, constant where one of them is in another unit or adjusted for something else, and it steps where that
happened. What is left beside the level is a lone print. Nothing here says which source is right.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import NoData
from domain.market import Market
from domain.params import Quality
from pipelines.data.quality.jumps import ACTION_MIN
from pipelines.data.quality.rows import PRICES
from pipelines.data.quality.tables.actions import RATIOS

#: Bars on each side whose median is the level of a difference: three bad prints in a row do not move it.
SIDE = 5
#: A level lasts at least so many bars.
LASTING = SIDE
#: Shifts that are tried where two sources do not run together: bars, and whole hours for another zone.
BARS_SHIFT, HOURS_SHIFT = 3, 14
#: Moves of a symbol that are compared to find a shift, the share of them that must agree, and by how much more than unshifted.
MOVES, AGREED, BETTER = 2000, 0.5, 2.0
#: How near (log) a level or step lies to a ratio of a split or a power of ten.
RATIO_NEAR = 0.01
#: A volume beside its level differs when it does by this factor.
VOLUME_FACTOR = 2.0

APART = [f"{name}_apart" for name in PRICES]

DIFFERENCE_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "opened_at": UTC_MICROSECONDS,
        "kind": pl.String(),
        "fields": pl.String(),
        "left": pl.Float64(),
        "right": pl.Float64(),
        "ratio": pl.Float64(),
    }
)
STEP_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "opened_at": UTC_MICROSECONDS,
        "field": pl.String(),
        "kind": pl.String(),
        "ratio": pl.Float64(),
    }
)


@dataclass(frozen=True)
class Reconciliation:
    """How two sources differ."""

    left: str
    right: str
    differences: pl.DataFrame
    """DIFFERENCE_SCHEMA: one row a bar and kind; `left` and `right` are closes, or volumes where the kind is about volume, null on
    the side that lacks the bar. The ratio is that of the level for lasting kinds."""
    steps: pl.DataFrame
    """STEP_SCHEMA: the first bar of each new level, with the ratio by which left/right changed there."""
    symbols: pl.DataFrame
    """One row a common symbol: `symbol`, `common` bars, `agree` (share of them whose closes do), `shift_s` (seconds that right was
    moved by to run together with left), `volume_ratio` (median of left/right, null without volumes)."""

    @property
    def summary(self) -> pl.DataFrame:
        """Bars and symbols by kind, the most frequent first."""
        counts = self.differences.group_by("kind").agg(bars=pl.len(), symbols=pl.col("symbol").n_unique())
        return counts.sort("bars", "kind", descending=[True, False])


def reconcile(left: pl.DataFrame, right: pl.DataFrame, market: Market, limits: Quality, names: tuple[str, str]) -> Reconciliation:
    """Compare two sources of the bars of one market, symbol by symbol over the time that both cover.

    BAR_SCHEMA rows in any order, `limits.reconcile_tolerance` the relative difference that is none. Kinds: `time_shift`, `unit`
    (a power of ten), `split_factor`, `adjustment` (dividends), `spinoff_adjustment`, `scale` (any other constant factor),
    `lone_print`, `disagrees` (neither), `volume_scale`, `volume_lone`, `missing_left`, `missing_right`. Raises NoData when the two
    have no symbol in common.
    """
    symbols = sorted(set(left["symbol"].unique()) & set(right["symbol"].unique()))
    if not symbols:
        raise NoData(f"{names[0]} and {names[1]} were to be reconciled, but they have no symbol in common")
    sides = [_prepared(frame, symbols) for frame in (left, right)]
    shifts = {symbol: _shift(*_of(symbol, sides), market, limits) for symbol in symbols}
    moved = pl.DataFrame({"symbol": symbols, "shift_s": [shifts[symbol].total_seconds() for symbol in symbols]})
    sides[1] = _moved(sides[1], moved)
    common = sides[0].join(sides[1], on=["symbol", "opened_at"], suffix="_right").sort("symbol", "opened_at")
    levels = _levels(_ratios(common), limits)
    parts = [_shifted(common, moved), _prices(levels, limits), _volumes(levels), *_missing(sides)]
    differences = pl.concat([pl.DataFrame(schema=DIFFERENCE_SCHEMA), *parts]).sort("symbol", "opened_at", "kind")
    return Reconciliation(*names, differences, _steps(levels), _told(levels, moved, limits))


def _prepared(frame: pl.DataFrame, symbols: list[str]) -> pl.DataFrame:
    """Return the bars that can be compared: all prices there and above zero, once a bar, as known last."""
    sound = pl.all_horizontal((pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(value=False) for name in PRICES)
    rows = frame.filter(pl.col("symbol").is_in(symbols) & sound).sort("symbol", "opened_at", "known_at")
    rows = rows.unique(["symbol", "opened_at"], keep="last", maintain_order=True)
    return rows.select("symbol", "opened_at", *PRICES, "volume")


def _of(symbol: str, sides: list[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    left, right = (side.filter(pl.col("symbol") == symbol) for side in sides)
    return left, right


def _shift(left: pl.DataFrame, right: pl.DataFrame, market: Market, limits: Quality) -> timedelta:
    """Return by how much right must be moved so that most of its moves are those of left; zero where they are, or nothing fits.

    Moves and not prices are compared: adjustments change prices and hardly a move. The shares that agree are robust to defects.
    """
    found = {timedelta(0): _together(left, right, limits)}
    if found[timedelta(0)] >= AGREED:
        return timedelta(0)
    for shift in _candidates(market):
        found[shift] = _together(left, right.with_columns(pl.col("opened_at") + shift), limits)
    best = max(found, key=lambda shift: (found[shift], -abs(shift)))
    return best if found[best] >= max(AGREED, BETTER * found[timedelta(0)]) else timedelta(0)


def _candidates(market: Market) -> list[timedelta]:
    """Return the shifts worth trying: some bars, and for bars within a day whole hours, as of another zone."""
    bars = [number * market.bar for number in range(1, BARS_SHIFT + 1)]
    hours = [timedelta(hours=number) for number in range(1, HOURS_SHIFT + 1)]
    steps = sorted({*bars, *hours})
    return [sign * step for step in steps for sign in (1, -1)]


def _together(left: pl.DataFrame, right: pl.DataFrame, limits: Quality) -> float:
    """Return the share of common moves that agree, weighted by the share of bars that are common at all."""
    both = left.tail(MOVES).join(right, on="opened_at", suffix="_right")
    if len(both) < 2 * LASTING:
        return 0.0
    moves = both.select((pl.col("close") / pl.col("close_right")).log().diff().abs(), still=pl.col("close").log().diff().abs())
    # Bars that stand still agree with everything, and two that move less than the tolerance as well.
    near = pl.min_horizontal(pl.lit(limits.reconcile_tolerance), pl.col("still") / 4)
    told = moves.filter(pl.col("still") > 0).select((pl.col("close") <= near).mean()).item()
    return float(told or 0.0) * len(both) / min(len(left.tail(MOVES)), len(right))


def _moved(right: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    by = pl.duration(seconds=pl.col("shift_s").cast(pl.Int64))
    rows = right.join(moved, on="symbol", how="left", maintain_order="left")
    return rows.with_columns(opened_at=pl.col("opened_at") + by).drop("shift_s")


def _ratios(common: pl.DataFrame) -> pl.DataFrame:
    """Add the log ratios left/right of each field: those of a volume that one side lacks are null."""
    volumes = (pl.col("volume") > 0) & (pl.col("volume_right") > 0)
    ratios = [(pl.col(name) / pl.col(f"{name}_right")).log().alias(f"{name}_ratio") for name in PRICES]
    volume = pl.when(volumes).then((pl.col("volume") / pl.col("volume_right")).log())
    return common.with_columns(*ratios, volume_ratio=volume)


def _levels(common: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    """Add `level`, the median of the close's ratio around a bar, `volume_level`, and the kind of each bar's level.

    A bar's median leaves out nothing: at the first bars of a new level it is still the old one for SIDE bars at most, so that the
    nearer of the medians before and after counts.
    """
    ratio, volume = pl.col("close_ratio"), pl.col("volume_ratio")
    sides = {
        "before": ratio.rolling_median(SIDE, min_samples=1),
        "after": ratio.reverse().rolling_median(SIDE, min_samples=1).reverse(),
    }
    common = common.with_columns(**{name: side.over("symbol") for name, side in sides.items()})
    nearer = (ratio - pl.col("before")).abs() <= (ratio - pl.col("after")).abs()
    common = common.with_columns(
        level=pl.when(nearer).then("before").otherwise("after"),
        volume_level=volume.rolling_median(8 * SIDE + 1, center=True, min_samples=1).over("symbol"),
    )
    same = (pl.col("level").diff().over("symbol").abs() > limits.reconcile_tolerance / 2).fill_null(value=False)
    common = common.with_columns(run=same.cum_sum().over("symbol"))
    common = common.with_columns(
        level=pl.col("level").median().over("symbol", "run"), lasts=pl.len().over("symbol", "run") >= LASTING
    )
    level = pl.when("lasts").then("level").forward_fill().backward_fill().over("symbol").fill_null(0.0)
    return _stepped(common.with_columns(level=level))


def _stepped(levels: pl.DataFrame) -> pl.DataFrame:
    """Add `step`, by how much the level changed at a bar, and `largest`, the largest step that lies after it.

    Adjustments are laid on the past: whatever stands between a bar and today is the sum of the steps after it.
    """
    levels = levels.with_columns(step=pl.col("level").diff().over("symbol").fill_null(0.0))
    later = pl.col("step").abs().reverse().cum_max().reverse().shift(-1, fill_value=0.0)
    return levels.with_columns(largest=later.over("symbol"))


def _prices(levels: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    """Return the differences of prices: lasting ones by the level, lone ones by what is left beside it."""
    tolerance = limits.reconcile_tolerance
    apart = [((pl.col(f"{name}_ratio") - pl.col("level")).abs() > tolerance).alias(f"{name}_apart") for name in PRICES]
    said = levels.with_columns(apart, lasting=pl.col("level").abs() > tolerance)
    lone = pl.any_horizontal(APART)
    fields = pl.concat_str([pl.when(f"{name}_apart").then(pl.lit(name)) for name in PRICES], separator=" ", ignore_nulls=True)
    beside = said.with_columns(kind=_lone()).filter(lone).with_columns(fields=fields, ratio=pl.col("close_ratio").exp())
    level = said.filter("lasting").with_columns(kind=_lasting(), fields=pl.lit("prices"), ratio=pl.col("level").exp())
    return pl.concat([_as_differences(part, "close") for part in (beside, level)])


def _lone() -> pl.Expr:
    """Return what a difference beside the level is: one bar or a few, or sources that do not say the same at all."""
    crowded = pl.any_horizontal(APART).cast(pl.Float64).rolling_mean(4 * SIDE + 1, center=True, min_samples=1).over("symbol")
    return pl.when(crowded > 1 / 2).then(pl.lit("disagrees")).otherwise(pl.lit("lone_print"))


def _lasting() -> pl.Expr:
    """Return what a level is: a unit, a split, or what its largest later step is."""
    small, large = pl.lit("adjustment"), pl.lit("spinoff_adjustment")
    stepped = pl.when(pl.col("largest") < ACTION_MIN).then(small).otherwise(large)
    constant = pl.when(pl.col("largest") > 0).then(stepped).otherwise(pl.lit("scale"))
    return pl.coalesce(_exact(pl.col("level")), constant)


def _exact(level: pl.Expr) -> pl.Expr:
    """Return "unit" near a power of ten, "split_factor" near a ratio of a split, else null; ten for one reads as a unit."""
    decades = (level / math.log(10)).round()
    unit = (decades != 0) & ((level - decades * math.log(10)).abs() <= RATIO_NEAR)
    splits = [(level.abs() - abs(math.log(ratio))).abs() <= RATIO_NEAR for ratio in RATIOS]
    return pl.when(unit).then(pl.lit("unit")).when(pl.any_horizontal(splits)).then(pl.lit("split_factor"))


def _volumes(levels: pl.DataFrame) -> pl.DataFrame:
    """Return the differences of volume: another scale that lasts, and bars beside it."""
    least = math.log(VOLUME_FACTOR)
    known = levels.filter(pl.col("volume_ratio").is_not_null()).with_columns(fields=pl.lit("volume"))
    # A venue of many or another count of shares: a tenth more or less is what consolidated feeds differ by.
    scaled = known.filter(pl.col("volume_level").abs() > math.log(1.1))
    scaled = scaled.with_columns(kind=pl.lit("volume_scale"), ratio=pl.col("volume_level").exp())
    lone = known.filter((pl.col("volume_ratio") - pl.col("volume_level")).abs() > least)
    lone = lone.with_columns(kind=pl.lit("volume_lone"), ratio=pl.col("volume_ratio").exp())
    return pl.concat([_as_differences(part, "volume") for part in (scaled, lone)])


def _shifted(common: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    late = common.join(moved.filter(pl.col("shift_s") != 0), on="symbol")
    late = late.with_columns(kind=pl.lit("time_shift"), fields=pl.lit("opened_at"), ratio=pl.lit(None, pl.Float64))
    return _as_differences(late, "close")


def _missing(sides: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return the bars that one side lacks, within the time that both cover."""
    spans = [side.group_by("symbol").agg(first=pl.col("opened_at").min(), last=pl.col("opened_at").max()) for side in sides]
    both = (
        spans[0]
        .join(spans[1], on="symbol", suffix="_right")
        .select("symbol", since=pl.max_horizontal("first", "first_right"), until=pl.min_horizontal("last", "last_right"))
    )
    found = []
    for lacking, having in ((0, 1), (1, 0)):
        rows = sides[having].join(sides[lacking], on=["symbol", "opened_at"], how="anti").join(both, on="symbol")
        rows = rows.filter(pl.col("opened_at").is_between("since", "until"))
        closes = {"close": pl.col("close") if having == 0 else pl.lit(None, pl.Float64)}
        closes["close_right"] = pl.col("close") if having == 1 else pl.lit(None, pl.Float64)
        named = {"kind": pl.lit("missing_left" if lacking == 0 else "missing_right"), "fields": pl.lit("bar")}
        found.append(_as_differences(rows.with_columns(**closes, **named, ratio=pl.lit(None, pl.Float64)), "close"))
    return found


def _as_differences(rows: pl.DataFrame, field: str) -> pl.DataFrame:
    """Return rows with kind, fields and ratio as DIFFERENCE_SCHEMA."""
    sides = {"left": pl.col(field), "right": pl.col(f"{field}_right")}
    return rows.with_columns(**sides).select(DIFFERENCE_SCHEMA.names())


def _steps(levels: pl.DataFrame) -> pl.DataFrame:
    """Return where the level of closes changed, and to what that change amounts."""
    step = pl.col("step")
    kind = pl.coalesce(
        _exact(step), pl.when(step.abs() < ACTION_MIN).then(pl.lit("adjustment")).otherwise(pl.lit("spinoff_adjustment"))
    )
    found = levels.filter(step != 0).select("symbol", "opened_at", field=pl.lit("close"), kind=kind, ratio=step.exp())
    return found.cast(STEP_SCHEMA)


def _told(levels: pl.DataFrame, moved: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    agree = ((pl.col("close_ratio").exp() - 1).abs() <= limits.reconcile_tolerance).mean()
    counts = levels.group_by("symbol").agg(common=pl.len(), agree=agree, volume_ratio=pl.col("volume_ratio").median().exp())
    told = moved.join(counts, on="symbol", how="left").with_columns(pl.col("common").fill_null(0))
    return told.select("symbol", "common", "agree", "shift_s", "volume_ratio").sort("symbol")
