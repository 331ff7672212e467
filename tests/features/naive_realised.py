"""Naive twins of realised volatility, in pandas, over one symbol's own bars."""

import math

import numpy as np
import pandas as pd


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every feature of the family by name."""
    o, h, low, c = (np.log(bars[name]) for name in ("open", "high", "low", "close"))
    r = c.diff()
    square, parkinson = r**2, (h - low) ** 2 / (4 * math.log(2))
    bipower = math.pi / 2 * r.abs() * r.shift().abs()
    down, up = r.clip(upper=0.0) ** 2, r.clip(lower=0.0) ** 2
    long = ema(square, 250)
    filtered = garch(square, long, 0.06, 0.92)
    log_volatility = 0.5 * np.log(ema(square, 20))
    return pd.DataFrame(
        {
            "yang_zhang_20": yang_zhang(o, h, low, c, 20),
            "yang_zhang_60": yang_zhang(o, h, low, c, 60),
            "bipower_20": np.sqrt(mean(bipower, 20)),
            "jump_share_20": (1 - mean(bipower, 20) / mean(square, 20)).clip(lower=0.0),
            "jump_share_60": (1 - mean(bipower, 60) / mean(square, 60)).clip(lower=0.0),
            "semideviation_down_20": np.sqrt(mean(down, 20)),
            "semideviation_up_20": np.sqrt(mean(up, 20)),
            "downside_share_20": mean(down, 20) / mean(square, 20),
            "downside_deviation_60": np.sqrt(mean(down, 60)),
            "har_1": np.sqrt(parkinson),
            "har_5": np.sqrt(mean(parkinson, 5)),
            "har_22": np.sqrt(mean(parkinson, 22)),
            "har_5_over_22": 0.5 * np.log(mean(parkinson, 5) / mean(parkinson, 22)),
            "ewma_5_over_20": 0.5 * np.log(ema(square, 5) / ema(square, 20)),
            "ewma_20_over_120": 0.5 * np.log(ema(square, 20) / ema(square, 120)),
            "volatility_of_volatility_20": log_volatility.diff().rolling(20).std(ddof=0),
            "garch": np.sqrt(filtered),
            "garch_over_long": 0.5 * np.log(filtered / long),
            "log_range_20": mean(np.log(h - low), 20) - 0.43,
            "range_over_close_20": 0.5 * np.log(mean(parkinson, 20) / mean(square, 20)),
            "quarticity_20": np.log(mean(square**2, 20) / mean(square, 20) ** 2 / 3),
        }
    )


def mean(x: pd.Series, bars: int) -> pd.Series:
    """Return the mean of each full window, summed anew."""
    return x.rolling(bars).apply(lambda w: math.fsum(w) / bars, raw=True)


def ema(x: pd.Series, bars: int) -> pd.Series:
    """Return the exponential average of span `bars` that begins as the mean of the first `bars` known values."""
    known = x.dropna()
    out = pd.Series(np.nan, index=x.index)
    if len(known) >= bars:
        seeded = pd.concat([pd.Series([known.iloc[:bars].mean()], index=[known.index[bars - 1]]), known.iloc[bars:]])
        out[seeded.index] = seeded.ewm(span=bars, adjust=False).mean()
    return out


def garch(square: pd.Series, level: pd.Series, alpha: float, beta: float) -> pd.Series:
    """Return the variance of the bar after each bar."""
    out, h = [], math.nan
    for x, v in zip(square, level, strict=True):
        h = v if math.isnan(h) else h
        h = (1 - alpha - beta) * v + alpha * x + beta * h
        out.append(h)
    return pd.Series(out, index=square.index)


def yang_zhang(o: pd.Series, h: pd.Series, low: pd.Series, c: pd.Series, bars: int) -> pd.Series:
    """Return the volatility of Yang and Zhang from log prices, with sample variances."""
    k = 0.34 / (1.34 + (bars + 1) / (bars - 1))
    drift_free = mean((h - c) * (h - o) + (low - c) * (low - o), bars)
    return np.sqrt((o - c.shift()).rolling(bars).var() + k * (c - o).rolling(bars).var() + (1 - k) * drift_free)
