"""Naive twins of order flow, in pandas, over one symbol's own bars."""

import math

import numpy as np
import pandas as pd
import scipy.stats

from tests.features.naive_realised import mean


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every feature of the family by name."""
    c, volume = bars["close"], bars["volume"]
    r = np.log(c).diff()
    vwap = prices(bars)
    value = vwap * volume
    share = buyers(bars, r)
    signed = (2 * share - 1) * volume
    relative = volume / mean(volume, 50)
    size = volume / bars["trades"]
    return pd.DataFrame(
        {
            "close_over_vwap_1": c / vwap - 1,
            "close_over_vwap_5": c / (mean(value, 5) / mean(volume, 5)) - 1,
            "close_over_vwap_60": c / (mean(value, 60) / mean(volume, 60)) - 1,
            "kyle_lambda_60": slope((2 * share - 1) * relative, r, 60),
            "impact_60": slope(np.sign(r) * np.sqrt(value / mean(value, 50)), r, 60),
            "roll_spread_60": 2 * np.sqrt((-r.rolling(60).cov(r.shift(), ddof=0)).clip(lower=0.0)),
            "corwin_schultz_20": mean(corwin_schultz(bars), 20),
            "volume_price_correlation_20": correlation(c, volume, 20),
            "volume_move_correlation_20": correlation(r.abs(), np.log(volume), 20),
            "volume_lead_correlation_60": correlation(r, np.log(volume).diff().shift(), 60),
            "tick_side": side(c),
            "tick_volume_20": mean(side(c) * volume, 20) / mean(volume, 20),
            "imbalance_1": 2 * share - 1,
            "imbalance_5": mean(signed, 5) / mean(volume, 5),
            "imbalance_20": mean(signed, 20) / mean(volume, 20),
            "imbalance_correlation_20": correlation(r, 2 * share - 1, 20),
            "vpin_50": vpin(share, volume, mean(volume, 50), 50),
            "relative_volume_50": np.log(relative),
            "trade_intensity_20": np.log(bars["trades"] / mean(bars["trades"], 20)),
            "trade_size_20": np.log(size / mean(size, 20)),
            "spread_20": mean(bars["spread"], 20),
            "spread_score_60": (bars["spread"] - mean(bars["spread"], 60)) / bars["spread"].rolling(60).std(ddof=0),
            "spread_over_volatility_20": mean(bars["spread"], 20) / r.rolling(20).std(ddof=0),
        }
    )


def prices(bars: pd.DataFrame) -> pd.Series:
    """Return the volume-weighted price, the typical one where there is none."""
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    return bars["vwap"].fillna(typical) if "vwap" in bars else typical


def buyers(bars: pd.DataFrame, r: pd.Series) -> pd.Series:
    """Return the buyers' share: counted, or else classified in bulk."""
    bulk = pd.Series(scipy.stats.norm.cdf(r / r.rolling(20).std(ddof=0)), index=r.index)
    counted = bars["buy_volume"] / bars["volume"] if "buy_volume" in bars else bulk
    return counted.fillna(bulk).where(bulk.notna())


def pairs(x: pd.Series, y: pd.Series, bars: int, measure: "object") -> pd.Series:
    """Return a measure of two series over each window in which both are known."""
    out = pd.Series(np.nan, index=x.index)
    for i in range(bars - 1, len(x)):
        a, b = x.iloc[i - bars + 1 : i + 1], y.iloc[i - bars + 1 : i + 1]
        if a.notna().all() and b.notna().all():
            out.iloc[i] = measure(a.to_numpy(), b.to_numpy())  # type: ignore[operator]
    return out


def correlation(x: pd.Series, y: pd.Series, bars: int) -> pd.Series:
    """Return Pearson's correlation."""
    return pairs(x, y, bars, lambda a, b: scipy.stats.pearsonr(a, b).statistic)


def slope(x: pd.Series, y: pd.Series, bars: int) -> pd.Series:
    """Return the least-squares slope of y on x."""
    return pairs(x, y, bars, lambda a, b: scipy.stats.linregress(a, b).slope)


def side(close: pd.Series) -> pd.Series:
    """Return the sign of the last change that was one; 0 before the first."""
    return np.sign(close.diff()).replace(0.0, np.nan).ffill().fillna(0.0).where(close.shift().notna())


def corwin_schultz(bars: pd.DataFrame) -> pd.Series:
    """Return the spread of each bar and the one before, the gap between them taken out, negative ones zero."""
    out = [math.nan]
    for i in range(1, len(bars)):
        before, now = bars.iloc[i - 1], bars.iloc[i]
        gap = max(0.0, now["low"] - before["close"]) - max(0.0, before["close"] - now["high"])
        # In log prices a gap is a factor; the two are exclusive.
        ratio = 1.0
        if gap > 0:
            ratio = before["close"] / now["low"]
        elif gap < 0:
            ratio = before["close"] / now["high"]
        high, low = now["high"] * ratio, now["low"] * ratio
        beta = math.log(high / low) ** 2 + math.log(before["high"] / before["low"]) ** 2
        gamma = math.log(max(high, before["high"]) / min(low, before["low"])) ** 2
        width = 3 - 2 * math.sqrt(2)
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / width - math.sqrt(gamma / width)
        out.append(max(0.0, 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))))
    return pd.Series(out[: len(bars)], index=bars.index)


def vpin(share: pd.Series, volume: pd.Series, size: pd.Series, buckets: int) -> pd.Series:
    """Return the mean imbalance of the last full buckets, filled drop by drop."""
    full: list[float] = []
    held, bought, seen, out = 0.0, 0.0, 0, []
    for p, v, b in zip(share, volume, size, strict=True):
        if math.isnan(p + v + b):
            out.append(math.nan)
            continue
        seen += 1
        left = v / b
        while left > 0.0:
            poured = min(left, 1.0 - held)
            held, bought, left = held + poured, bought + p * poured, left - poured
            if held >= 1.0:
                full.append(abs(2 * bought - 1))
                held, bought = 0.0, 0.0
        last = full[-buckets:] or [abs(2 * bought / held - 1) if held else 0.0]
        out.append(sum(last) / len(last) if seen >= buckets else math.nan)
    return pd.Series(out, index=share.index)
