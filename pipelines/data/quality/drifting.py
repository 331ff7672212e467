"""Drifting: whether the newest raw data is distributed like what came before, and since when volume has another scale."""

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.panel import FloatArray
from domain.params import Quality

#: Quantile bins of the reference, and the share that an empty one counts as.
BINS, SHARE_MIN = 10, 1e-4
#: Share of those that are said to have drifted which may be wrong (Benjamini and Hochberg 1995, JRSS B 57(1)).
DISCOVERY = 0.05
#: The reference is so many times as long as what is compared with it: half a year for a month.
REFERENCE = 12
#: Values that each side needs.
VALUES_MIN = 20
#: Share of symbols that must change in one session for the change to be the feed's.
SHARED = 1 / 2

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "measure": pl.String(),
        "values": pl.Int64(),
        "psi": pl.Float64(),
        "psi_usual": pl.Float64(),
        "ks": pl.Float64(),
        "p": pl.Float64(),
        "q": pl.Float64(),
        "drifted": pl.Boolean(),
    }
)

Counts = npt.NDArray[np.int64]

#: What is measured of a bar; nothing but itself and the bar before it is needed.
MEASURES: dict[str, pl.Expr] = {
    "return": pl.col("close").log().diff(),
    "range": (pl.col("high") / pl.col("low")).log(),
    "gap": pl.col("open").log() - pl.col("close").log().shift(1),
    "volume": pl.when(pl.col("volume") > 0).then(pl.col("volume").log()),
    "spread": pl.col("spread"),
}


def drift(bars: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    """Compare the newest `drift_sessions` days of each symbol with the REFERENCE times as many before: SCHEMA, the worst first.

    BAR_SCHEMA rows with positive prices. `psi` is the population stability index over quantile bins of the reference, `psi_usual`
    the largest that windows of the same length inside the reference show against the rest of it; `ks` the two-sample
    Kolmogorov-Smirnov distance, `p` its asymptotic probability at the number of values that are worth as much as independent
    ones, `q` that p after control of false discoveries over all symbols of one measure. Drifted is a `q` under DISCOVERY and an
    index that exceeds the usual one by `psi_max`: surprising and large.
    """
    measured = _measured(bars)
    rows = []
    for (symbol,), part in measured.group_by("symbol", maintain_order=True):
        recent, reference = _windows(part, limits.drift_sessions)
        for name in MEASURES:
            sides = [_known(side[name]) for side in (reference, recent)]
            if min(len(side) for side in sides) >= VALUES_MIN:
                rows.append((str(symbol), name, *_compared(*sides)))
    told = {name: kind for name, kind in SCHEMA.items() if name not in {"q", "drifted"}}
    return _controlled(pl.DataFrame(rows, schema=told, orient="row"), limits)


def _measured(bars: pl.DataFrame) -> pl.DataFrame:
    rows = bars.sort("symbol", "opened_at")
    return rows.select("symbol", "opened_at", **{name: value.over("symbol") for name, value in MEASURES.items()})


def _windows(part: pl.DataFrame, days: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the newest days on which the symbol has bars, and those of the days before."""
    day = part["opened_at"].dt.date()
    dates = day.unique().sort()
    since = dates[-min(days, len(dates))]
    before = dates[-min(days * (REFERENCE + 1), len(dates))]
    return part.filter(day >= since), part.filter((day < since) & (day >= before))


def _known(values: pl.Series) -> FloatArray:
    known: FloatArray = values.drop_nulls().drop_nans().to_numpy().astype(np.float64)
    return known[np.isfinite(known)]


def _compared(reference: FloatArray, recent: FloatArray) -> tuple[int, float, float, float, float]:
    """Return the number of recent values, psi, psi_usual, ks, p."""
    from scipy import stats

    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    windows = np.array_split(reference, max(len(reference) // len(recent), 1))
    counts = np.array([_counted(window, inner) for window in windows])
    total = counts.sum(axis=0)
    # One window has nothing inside the reference to be compared with, and no index is usual then.
    usual = float(psi(total - counts, counts).max()) if len(windows) > 1 else 0.0
    distance = float(stats.ks_2samp(reference, recent, method="asymp").statistic)
    sizes = [effective(side) for side in (reference, recent)]
    p = float(stats.kstwobign.sf(distance * math.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))))
    return len(recent), float(psi(total, _counted(recent, inner))), usual, distance, p


def psi(reference: Counts, recent: Counts) -> FloatArray:
    """Return the population stability index of counts over the same bins, the last axis: the relative entropies both ways, added.

    Bins under SHARE_MIN count as SHARE_MIN.
    """
    from scipy import stats

    shares = [np.maximum(side / side.sum(axis=-1, keepdims=True), SHARE_MIN) for side in (reference, recent)]
    p, q = shares
    return np.asarray(stats.entropy(p, q, axis=-1) + stats.entropy(q, p, axis=-1), dtype=np.float64)


def _counted(values: FloatArray, inner: FloatArray) -> Counts:
    return np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1)


def effective(values: FloatArray) -> float:
    """Return how many independent values these are worth: n (1 - r) / (1 + r) with the lag-one rank correlation r, at least two.

    Source: Bayley and Hammersley 1946, JRSS Supplement 8(2), for an autoregression of order one. The larger correlation of the
    values and of their sizes counts: returns are uncorrelated and their sizes are not.
    """
    from scipy import stats

    if len(values) < VALUES_MIN:
        return float(max(len(values), 2))
    found = [_lagged(series) for series in (stats.rankdata(values), stats.rankdata(np.abs(values - np.median(values))))]
    r = max(0.0, min(max(found), 0.99))
    return max(2.0, len(values) * (1 - r) / (1 + r))


def _lagged(ranks: FloatArray) -> float:
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.nan_to_num(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]))


def _controlled(table: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    from scipy import stats

    parts = [
        part.with_columns(q=pl.Series(stats.false_discovery_control(part["p"].to_numpy()), dtype=pl.Float64))
        for _, part in table.group_by("measure", maintain_order=True)
    ]
    table = pl.concat(parts) if parts else table.with_columns(q=pl.lit(None, pl.Float64))
    moved = (pl.col("q") <= DISCOVERY) & (pl.col("psi") - pl.col("psi_usual") > limits.psi_max)
    return (
        table.with_columns(drifted=moved)
        .select(SCHEMA.names())
        .cast(SCHEMA)
        .sort("drifted", "psi", "symbol", "measure", descending=[True, True, False, False])
    )


def regimes(examined: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions in which volume took another scale.

    `session`, `symbols` that did, `of` all that traded, `ratio`, the median of the volume over the one before, and `shared`:
    most symbols changed together, so that the feed did. Bars as `quality.inspection.examine` returns them.
    """
    days = (
        examined.filter(pl.col("session").is_not_null())
        .group_by("symbol", "session")
        .agg(broken=pl.col("volume_break").any(), ratio=pl.col("volume_ratio").median())
    )
    named = days.group_by("session").agg(
        symbols=pl.col("broken").sum().cast(pl.Int64), of=pl.len().cast(pl.Int64), ratio=pl.col("ratio").filter("broken").median()
    )
    named = named.filter(pl.col("symbols") > 0)
    return named.with_columns(shared=(pl.col("symbols") > SHARED * pl.col("of")) & (pl.col("of") > 1)).sort("session")
