"""Naive twins of normalisation on the fly, in pandas, over one symbol's own bars."""

import numpy as np
import pandas as pd

from tests.features.naive_realised import ema


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every feature of the family by name."""
    c = np.log(bars["close"])
    chosen = {
        "return_5": c.diff(5),
        "return_20": c.diff(20),
        "volatility": np.sqrt(ema(c.diff() ** 2, 20)),
        "range": (bars["high"] - bars["low"]) / bars["close"],
        "log_volume": np.log(bars["volume"]),
    }
    columns = {f"{name}_{form}": values for name, x in chosen.items() for form, values in forms(x).items()}
    return pd.DataFrame(columns | {f"fractional_{round(100 * d)}": fractional(c, d, 64) for d in (0.3, 0.5)})


def forms(x: pd.Series) -> dict[str, pd.Series]:
    """Return the five normalised forms of one series."""
    rolling = x.rolling(60)
    score = (x - rolling.mean()) / rolling.std(ddof=0)
    between = rolling.quantile(0.75) - rolling.quantile(0.25)
    known = x.dropna()
    average = known.ewm(span=60, adjust=False)
    exponential = ((known - average.mean()) / average.std(bias=True)).where(np.arange(len(known)) >= 59)
    return {
        "rank_60": rolling.rank(pct=True),
        "robust_60": (x - rolling.median()) / between * 1.3489795003921634,
        "winsorised_60": score.clip(-3.0, 3.0),
        "ema_score_60": exponential.reindex(x.index),
        "tanh_60": np.tanh(0.5 * score),
    }


def fractional(x: pd.Series, order: float, bars: int) -> pd.Series:
    """Return the sum of the series' binomial weights times its past, the oldest weight completing them to zero."""
    weights = [1.0]
    for k in range(1, bars - 1):
        weights.append(-weights[-1] * (order - k + 1) / k)
    weights.append(-sum(weights))
    return x.rolling(bars).apply(lambda w: float(np.dot(w[::-1], weights)), raw=True)
