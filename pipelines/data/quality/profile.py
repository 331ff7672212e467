"""Profile: what is usual for each symbol of a market, learned from stored history, and how unlikely a new bar is by it.

A bar is measured against the 41 before it, so that calm and storm are no surprise: returns and gaps as multiples of what moves were
lately, ranges, volumes and spreads as logarithms over theirs, each without the shape of the day. Such a value is then counted in
robust deviations from its symbol's median; how far such values reach is one tail for all symbols of a
market, since the rare is rare and a symbol alone has not seen it. Three things keep poisoned history from widening a profile:
medians, a cap on how far a symbol's scale may be from its market's, and a cap on the tail, that of a Student t of three degrees of
freedom: returns of stocks fall off with the third power (Gopikrishnan, Plerou, Amaral, Meyer and Stanley 1999, Physical Review E
60(5)). A tail is never thinner than a normal one.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from domain import session
from domain.bar import UTC_MICROSECONDS, Defect
from domain.error import DataError, NoData
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Quality
from pipelines.data.quality import calendars
from pipelines.data.quality.prices import MEDIAN, MOTION_MIN
from pipelines.data.quality.rows import PRICES

#: Degrees of freedom of the widest tail that is believed.
CUBIC = 3.0
#: Probabilities at which a tail is kept, and how many values beyond a level history must have shown.
LEVELS, SEEN = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5), 10
#: Bars that history must have before it says anything.
BARS_MIN = 200
#: What is measured, and what its deviation is at least: a tenth of what it was lately.
LEAST = dict.fromkeys(("return", "range", "gap", "volume", "spread"), 0.1)
#: Bars before one that say how the symbol moves and trades lately, and how many of them there must be.
LATELY, LATELY_MIN = 41, 10
#: Measures that are unlikely on one side only: a small range or spread is a quiet bar.
ONE_SIDED = ("range", "spread")
#: Lone prints and shifted ones are known to be wrong: nothing is learned from them.
FLAWED = int(Defect.PRICE_SPIKE | Defect.DECIMAL_SHIFT)

JUDGED_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "opened_at": UTC_MICROSECONDS,
        "measure": pl.String(),
        "value": pl.Float64(),
        "deviations": pl.Float64(),
        "p": pl.Float64(),
    }
)


@dataclass(frozen=True)
class Usual:
    """One measure of one symbol, or of a market."""

    rows: int
    middle: float
    """Median."""
    scale: float
    """Robust deviation: median of absolute differences from the middle, over 0.6745."""


@dataclass(frozen=True)
class Profile:
    """What was usual in one market up to a moment."""

    market: str
    timeframe: str
    known_at: datetime
    """Nothing that was known later has been looked at."""
    usual: Mapping[str, Usual]
    """Of the market's median symbol, by measure."""
    symbols: Mapping[str, Mapping[str, Usual]]
    """Of each symbol, by measure: drawn towards its market's where history is short, and capped."""
    slots: Mapping[str, Mapping[int, float]]
    """Log of the usual volume and range of a minute of the local day over those of all; empty for whole days."""
    tails: Mapping[str, tuple[float, ...]]
    """Deviations that are exceeded with the probabilities LEVELS, by measure."""

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(plain(self), sort_keys=True).encode()).hexdigest()


def plain(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON holds it."""
    told = asdict(profile)
    slots = {name: {str(slot): level for slot, level in levels.items()} for name, levels in profile.slots.items()}
    return {**told, "known_at": profile.known_at.isoformat(), "slots": slots}


def learn(bars: pl.DataFrame, market: Market, limits: Quality, known_at: datetime) -> Profile:
    """Learn from BAR_SCHEMA rows that were known by `known_at`; rows known later, or flagged as lone prints, are left out.

    Raises NoData when fewer than BARS_MIN bars are left.
    """
    limit = pl.lit(known_at).cast(pl.Datetime("us", "UTC"))
    rows = bars.filter((pl.col("known_at") <= limit) & ((pl.col("flags") & FLAWED) == 0))
    if len(rows) < BARS_MIN:
        raise NoData(
            f"a profile of market '{market.name}' was to be learned from bars known by {known_at:%Y-%m-%d %H:%M}, "
            f"but there are {len(rows)}: {BARS_MIN} are needed"
        )
    raw = _measured(rows, market)
    slots = _slots(raw, market)
    measured = _levelled(raw, slots)
    told = {name: _told(measured, name) for name in LEAST}
    usual = {name: _market(rows, name) for name, rows in told.items() if not rows.is_empty()}
    drawn = {name: _drawn(told[name], found, limits) for name, found in usual.items()}
    tails = {name: _tail(measured, name, known) for name, known in drawn.items()}
    symbols = {symbol: {name: drawn[name][symbol] for name in drawn if symbol in drawn[name]} for symbol in _names(measured)}
    return Profile(market.name, market.timeframe, known_at.astimezone(UTC), usual, symbols, slots, tails)


def judge(profile: Profile, bars: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return how unlikely each bar is: JUDGED_SCHEMA, one row a bar and measure, `p` the share of sound values as far out.

    Two-sided for returns, gaps and volumes, one-sided for ranges and spreads. Bars of symbols that the profile does not know are
    judged as the market's median symbol. A bar's return and gap need the bar before it: give that as well, older bars only help.
    Raises DataError for bars of another market, and where none is newer than the profile: what has taught it is not judged by it.
    """
    if (profile.market, profile.timeframe) != (market.name, market.timeframe):
        raise DataError(
            f"bars of {market.name} {market.timeframe} were to be judged by the profile of {profile.market} {profile.timeframe}: "
            "learn one of their own"
        )
    fresh = pl.col("known_at") > pl.lit(profile.known_at).cast(pl.Datetime("us", "UTC"))
    if not bars.is_empty() and not bars.select(fresh.any()).item():
        raise DataError(
            f"bars of {market.name} were to be judged by a profile learned up to {profile.known_at:%Y-%m-%d %H:%M}, "
            "but none is newer: judge what came later"
        )
    measured = _levelled(_measured(bars, market), profile.slots).filter(fresh)
    parts = [_judged(profile, measured, name) for name in profile.tails]
    return pl.concat([pl.DataFrame(schema=JUDGED_SCHEMA), *parts]).sort("symbol", "opened_at", "measure")


def probability(tail: tuple[float, ...], deviations: FloatArray) -> FloatArray:
    """Return how often deviations as large are exceeded: between the levels of a tail by its logarithms, beyond as the cube falls.

    NaN gives NaN; less than the first level gives that level, which says no more than that nothing is remarkable.
    """
    edges, levels = np.log(np.array(tail)), np.log(LEVELS)
    far = np.log(np.maximum(deviations, 1e-12))
    beyond = levels[-1] - CUBIC * (far - edges[-1])
    return np.asarray(np.exp(np.where(far > edges[-1], beyond, np.interp(far, edges, levels))), dtype=np.float64)


def _names(measured: pl.DataFrame) -> list[str]:
    return [str(symbol) for symbol in measured["symbol"].unique().sort()]


def _measured(bars: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return symbol, opened_at, known_at, `slot`, the minute of the local day, and what is measured of a bar, in logarithms.

    A return over a night, in which the market was closed, is a gap, that of open over the close before, and no return; whole days
    have both.
    """
    sound = pl.all_horizontal((pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(value=False) for name in PRICES)
    rows = calendars.hours(bars.filter(sound).with_row_index("row"), market).sort("symbol", "opened_at", "known_at")
    rows = rows.unique(["symbol", "opened_at"], keep="last", maintain_order=True)
    whole = market.timeframe in session.WHOLE_SESSIONS
    local = pl.col("opened_at").dt.convert_time_zone(session.zone(market.calendar))
    slot = pl.lit(0) if whole else local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute()
    night = pl.lit(market.calendar != session.CONTINUOUS)
    rested = (pl.col("session") != pl.col("session").shift(1)) & (pl.col("opened_at").diff() > pl.lit(market.bar))
    night &= pl.lit(value=True) if whole else rested.over("symbol")
    before = pl.col("close").log().shift(1).over("symbol")
    return rows.select(
        "symbol", "opened_at", "known_at", slot=slot.cast(pl.Int64),
        **{
            "return": pl.when(pl.lit(whole) | ~night).then(pl.col("close").log() - before),
            "range": pl.when(pl.col("high") > pl.col("low")).then((pl.col("high") / pl.col("low")).log().log()),
            "gap": pl.when(night).then(pl.col("open").log() - before),
            "volume": pl.when(pl.col("volume") > 0).then(pl.col("volume").log()),
            "spread": pl.when(pl.col("spread") > 0).then((pl.col("spread") / pl.col("close")).log()),
        },
    )  # fmt: skip


def _slots(raw: pl.DataFrame, market: Market) -> dict[str, dict[int, float]]:
    """Return what is usual in each minute of the day over what is usual in all of them: the U of the day."""
    if market.timeframe in session.WHOLE_SESSIONS:
        return {}
    return {name: _slot(raw, name) for name in ("range", "volume")}


def _slot(raw: pl.DataFrame, name: str) -> dict[int, float]:
    known = raw.filter(pl.col(name).is_not_null()).with_columns(level=pl.col(name) - pl.col(name).median().over("symbol"))
    found = known.group_by("slot").agg(pl.col("level").median()).sort("slot")
    return {int(slot): round(float(value), 6) for slot, value in found.iter_rows()}


def _levelled(raw: pl.DataFrame, slots: Mapping[str, Mapping[int, float]]) -> pl.DataFrame:
    """Return the measures without the shape of the day and over what they were lately, null for a symbol's first bars."""
    shape = {name: _shape(slots.get(name, {})) for name in ("range", "volume")}
    rows = raw.with_columns(
        pl.col("return") / shape["range"].exp(), pl.col("range") - shape["range"], pl.col("volume") - shape["volume"]
    )
    levels = {name: pl.col(name) - _lately(pl.col(name)) for name in ("range", "volume", "spread")}
    moves = rows.with_columns(**levels, **{"return": pl.col("return") / _moves("return")}).drop("gap")
    # A night comes once a session: the nights before one are some sessions apart.
    gaps = rows.filter(pl.col("gap").is_not_null()).select("symbol", "opened_at", gap=pl.col("gap") / _moves("gap"))
    return moves.join(gaps, on=["symbol", "opened_at"], how="left", maintain_order="left")


def _shape(slot: Mapping[int, float]) -> pl.Expr:
    if not slot:
        return pl.lit(0.0)
    return pl.col("slot").replace_strict(list(slot), list(slot.values()), default=0.0, return_dtype=pl.Float64)


def _lately(values: pl.Expr) -> pl.Expr:
    return values.shift(1).rolling_median(LATELY, min_samples=LATELY_MIN).over("symbol")


def _moves(name: str) -> pl.Expr:
    """Return the deviation of the moves before a bar, of those that were any."""
    size = pl.col(name).abs()
    return (_lately(pl.when(size > 0).then(size)) / MEDIAN).clip(lower_bound=MOTION_MIN)


def _told(measured: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return rows, middle and scale of one measure by symbol."""
    known = measured.filter(pl.col(name).is_finite()).with_columns(middle=pl.col(name).median().over("symbol"))
    apart = (pl.col(name) - pl.col("middle")).abs().median() / MEDIAN
    found = known.group_by("symbol").agg(rows=pl.len(), middle=pl.col("middle").first(), scale=apart)
    return found.with_columns(pl.col("scale").clip(lower_bound=LEAST[name])).sort("symbol")


def _market(told: pl.DataFrame, name: str) -> Usual:
    """Return the median symbol: half of all symbols would have to be poisoned to move it at will."""
    rows, middle, scale = told.select(pl.col("rows").sum(), pl.col("middle").median(), pl.col("scale").log().median().exp()).row(0)
    return Usual(int(rows), float(middle), max(float(scale), LEAST[name]))


def _drawn(told: pl.DataFrame, usual: Usual, limits: Quality) -> dict[str, Usual]:
    """Return each symbol's own, drawn towards the market's by n / (n + profile_bars), its scale capped by `profile_cap`."""
    drawn, cap = {}, math.log(limits.profile_cap)
    for symbol, rows, middle, scale in told.select("symbol", "rows", "middle", "scale").iter_rows():
        weight = rows / (rows + limits.profile_bars)
        apart = min(max(weight * math.log(scale / usual.scale), -cap), cap)
        # Half a history is enough for a level, which differs between symbols by more than a scale does.
        level = min(1.0, 2 * weight)
        drawn[str(symbol)] = Usual(int(rows), level * middle + (1 - level) * usual.middle, usual.scale * math.exp(apart))
    return drawn


def _tail(measured: pl.DataFrame, name: str, known: Mapping[str, Usual]) -> tuple[float, ...]:
    """Return the deviations that all symbols together exceed with the probabilities LEVELS, between a normal and a cubic tail.

    Beyond what SEEN values have shown it goes on as the cubic tail does from the last level that they have.
    """
    from scipy import stats

    sizes = np.sort(_deviations(measured, name, known).drop_nulls().drop_nans().to_numpy())
    levels = np.array(LEVELS) / (1 if name in ONE_SIDED else 2)
    cubic = stats.t.isf(levels, CUBIC) / (stats.t.ppf(0.75, CUBIC) / MEDIAN)
    seen = [level for level in LEVELS if level * len(sizes) >= SEEN]
    found = np.quantile(sizes, [1 - level for level in seen]) if seen else np.empty(0)
    last = found[-1] / cubic[len(seen) - 1] if seen else 1.0
    bounded = np.clip(np.concatenate([found, cubic[len(seen) :] * last]), stats.norm.isf(levels), cubic)
    return tuple(round(float(value), 6) for value in np.maximum.accumulate(bounded))


def _deviations(measured: pl.DataFrame, name: str, known: Mapping[str, Usual]) -> pl.Series:
    """Return how many robust deviations each value lies off, absolute for two-sided measures."""
    rows = [(symbol, found.middle, found.scale) for symbol, found in known.items()]
    by = pl.DataFrame(rows, schema={"symbol": pl.String, "middle": pl.Float64, "scale": pl.Float64}, orient="row")
    joined = measured.select("symbol", name).join(by, on="symbol", how="left", maintain_order="left")
    off = (pl.col(name) - pl.col("middle")) / pl.col("scale")
    return joined.select(off if name in ONE_SIDED else off.abs()).to_series()


def _judged(profile: Profile, measured: pl.DataFrame, name: str) -> pl.DataFrame:
    strangers = dict.fromkeys(_names(measured), profile.usual[name])
    known = {**strangers, **{symbol: found[name] for symbol, found in profile.symbols.items() if name in found}}
    deviations = _deviations(measured, name, known)
    p = probability(profile.tails[name], deviations.fill_null(math.nan).to_numpy())
    rows = measured.select("symbol", "opened_at", measure=pl.lit(name), value=pl.col(name))
    rows = rows.with_columns(deviations=deviations, p=pl.Series(p, dtype=pl.Float64))
    return rows.filter(pl.col("value").is_finite()).cast(JUDGED_SCHEMA)
