"""Naive twins of regimes, in pandas and hmmlearn, over one symbol's own bars."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from hmmlearn.hmm import GaussianHMM

from tests.features import naive
from tests.features.naive_realised import ema

TWO = (np.array([[0.98, 0.02], [0.05, 0.95]]), np.zeros(2), np.array([0.7, 1.5]))
THREE = (
    np.full((3, 3), 1 / 60) + np.eye(3) * (29 / 30 - 1 / 60),
    np.array([-0.25, 0.0, 0.25]),
    np.array([1.4, 0.6, 0.9]),
)


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every feature of the family by name."""
    c = np.log(bars["close"])
    r = c.diff()
    volatility, long = np.sqrt(ema(r**2, 20)), np.sqrt(ema(r**2, 250))
    z = r / long.shift()
    wild, states = filtered(z, *TWO), filtered(z, *THREE)
    up, down = cusum(z), cusum(-z)
    surprise = (z**2 - 1) / math.sqrt(2)
    return pd.DataFrame(
        {
            "adx_28": adx(bars, 28),
            "efficiency_10": efficiency(c, 10),
            "efficiency_60": efficiency(c, 60),
            "log_variance_ratio_5": 0.5 * np.log(variance_ratio(c, 5, 120)),
            "hurst_20": 0.5 * np.log(20 * variance_ratio(c, 20, 120)) / math.log(20),
            "volatility_over_long": np.log(volatility / long),
            "volatility_rank_120": volatility.rolling(120).rank(pct=True),
            "drawdown_250": c - c.rolling(250).max(),
            "drawdown_over_volatility_60": (c - c.rolling(60).max()) / volatility,
            "wild_probability": wild[:, 1],
            "fall_probability": states[:, 0],
            "calm_probability": states[:, 1],
            "rise_probability": states[:, 2],
            "cusum_up": up,
            "cusum_down": down,
            "cusum_volatility": cusum(surprise),
        }
    )


def efficiency(c: pd.Series, bars: int) -> pd.Series:
    """Return Kaufman's ratio."""
    return c.diff(bars).abs() / c.diff().abs().rolling(bars).sum()


def variance_ratio(c: pd.Series, lag: int, bars: int) -> pd.Series:
    """Return the variance of overlapping `lag`-bar returns over `lag` times that of one-bar returns."""
    return c.diff(lag).rolling(bars).var(ddof=0) / (lag * c.diff().rolling(bars).var(ddof=0))


def adx(bars: pd.DataFrame, length: int) -> pd.Series:
    """Return Wilder's ADX from the naive movements and ranges, as the classic tests have them."""
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    if len(close) < 2 * length:
        return pd.Series(np.nan, index=bars.index)
    ranges = np.array(naive.wilder_sum(naive.true_range(high, low, close)[1:], length, length))
    plus, minus = (
        100 * np.array(naive.wilder_sum(naive.directional_move(high, low, side)[1:], length, length)) / ranges
        for side in (True, False)
    )
    index = 100 * np.abs(plus - minus) / (plus + minus)
    known = index[length - 1 :].tolist()
    return pd.Series([math.nan] * length + naive.wilder(known, length), index=bars.index)


def filtered(
    z: pd.Series, moves: npt.NDArray[np.float64], means: npt.NDArray[np.float64], spreads: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the states' probabilities given all bars so far: hmmlearn's smoothed ones at the series' end, for each end."""
    model = GaussianHMM(len(means), covariance_type="diag", init_params="", implementation="log")
    model.transmat_, model.means_, model.covars_ = moves, means[:, None], spreads[:, None] ** 2
    values, vectors = np.linalg.eig(moves.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    model.startprob_ = stationary / stationary.sum()
    known = z.dropna().to_numpy()[:, None]
    out = np.full((len(z), len(means)), np.nan)
    first = len(z) - len(known)
    for i in range(len(known)):
        out[first + i] = model.predict_proba(known[: i + 1])[-1]
    return out


def cusum(z: pd.Series, drift: float = 0.5) -> pd.Series:
    """Return Page's upper sum: z - drift added up since its lowest point so far."""
    walk = (z - drift).fillna(0.0).cumsum()
    return (walk - np.minimum(walk.cummin(), 0.0)).where(z.notna())
