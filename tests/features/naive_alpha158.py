"""Alpha158 in pandas, written from Qlib's published formulas; windows have to be full."""

from collections.abc import Callable

import numpy as np
import pandas as pd

WINDOWS = (5, 10, 20, 30, 60)
GUARD = 1e-12


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return all 158 features of one symbol's own bars, which have open, high, low, close, volume and vwap."""
    columns = {**_candles(bars), **_prices(bars)}
    for n in WINDOWS:
        for part in (_closes(bars, n), _ranges(bars, n), _counts(bars, n), _volumes(bars, n)):
            columns.update({f"{name}_{n}": values for name, values in part.items()})
    return pd.DataFrame({f"alpha158_{name}": values for name, values in columns.items()})


def _candles(b: pd.DataFrame) -> dict[str, pd.Series]:
    reach = b["high"] - b["low"] + GUARD
    top, bottom = b[["open", "close"]].max(axis=1), b[["open", "close"]].min(axis=1)
    body, surplus = b["close"] - b["open"], 2 * b["close"] - b["high"] - b["low"]
    return {
        "kmid": body / b["open"],
        "klen": (b["high"] - b["low"]) / b["open"],
        "kmid2": body / reach,
        "kup": (b["high"] - top) / b["open"],
        "kup2": (b["high"] - top) / reach,
        "klow": (bottom - b["low"]) / b["open"],
        "klow2": (bottom - b["low"]) / reach,
        "ksft": surplus / b["open"],
        "ksft2": surplus / reach,
    }


def _prices(b: pd.DataFrame) -> dict[str, pd.Series]:
    return {f"{name}0": b[name] / b["close"] for name in ("open", "high", "low", "vwap")}


def _closes(b: pd.DataFrame, n: int) -> dict[str, pd.Series]:
    close = b["close"]
    window = close.rolling(n)
    return {
        "roc": close.shift(n) / close,
        "ma": window.apply(np.mean, raw=True) / close,
        "std": window.apply(lambda w: np.std(w, ddof=1), raw=True) / close,
        "beta": window.apply(lambda w: _line(w)[0], raw=True) / close,
        "rsqr": window.apply(lambda w: float(np.corrcoef(np.arange(n), w)[0, 1] ** 2), raw=True),
        "resi": window.apply(lambda w: float(w[-1] - np.polyval(_line(w), n - 1)), raw=True) / close,
        "qtlu": window.apply(lambda w: np.quantile(w, 0.8), raw=True) / close,
        "qtld": window.apply(lambda w: np.quantile(w, 0.2), raw=True) / close,
        "rank": window.rank(pct=True),
    }


def _line(w: np.ndarray) -> np.ndarray:
    return np.polyfit(np.arange(len(w)), w, 1)


def _ranges(b: pd.DataFrame, n: int) -> dict[str, pd.Series]:
    high, low = b["high"].rolling(n), b["low"].rolling(n)
    newest_high = high.apply(lambda w: np.argmax(w) + 1, raw=True)
    newest_low = low.apply(lambda w: np.argmin(w) + 1, raw=True)
    return {
        "max": high.max() / b["close"],
        "min": low.min() / b["close"],
        "rsv": (b["close"] - low.min()) / (high.max() - low.min() + GUARD),
        "imax": newest_high / n,
        "imin": newest_low / n,
        "imxd": (newest_high - newest_low) / n,
    }


def _counts(b: pd.DataFrame, n: int) -> dict[str, pd.Series]:
    change, volume_change = b["close"].diff(), b["volume"].diff()
    rises, falls = _mean(change > 0, change, n), _mean(change < 0, change, n)
    up, down = _shares(change, n)
    volume_up, volume_down = _shares(volume_change, n)
    return {
        "cntp": rises, "cntn": falls, "cntd": rises - falls,
        "sump": up, "sumn": down, "sumd": up - down,
        "vsump": volume_up, "vsumn": volume_down, "vsumd": volume_up - volume_down,
    }  # fmt: skip


def _mean(marked: pd.Series, known: pd.Series, n: int) -> pd.Series:
    return marked.where(known.notna()).astype(float).rolling(n).mean()


def _shares(change: pd.Series, n: int) -> tuple[pd.Series, pd.Series]:
    def share(side: Callable[[np.ndarray], np.ndarray]) -> pd.Series:
        return change.rolling(n).apply(lambda w: side(w)[side(w) > 0].sum() / (np.abs(w).sum() + GUARD), raw=True)

    return share(lambda w: w), share(lambda w: -w)


def _volumes(b: pd.DataFrame, n: int) -> dict[str, pd.Series]:
    close, volume = b["close"], b["volume"]
    ratio, volume_ratio = close / close.shift(1), volume / volume.shift(1)
    sized = (ratio - 1).abs() * volume
    return {
        "corr": _correlation(close, np.log(volume + 1), n),
        "cord": _correlation(ratio, np.log(volume_ratio + 1), n),
        "vma": volume.rolling(n).apply(np.mean, raw=True) / (volume + GUARD),
        "vstd": volume.rolling(n).apply(lambda w: np.std(w, ddof=1), raw=True) / (volume + GUARD),
        "wvma": sized.rolling(n).apply(lambda w: np.std(w, ddof=1) / (np.mean(w) + GUARD), raw=True),
    }


def _correlation(x: pd.Series, y: pd.Series, n: int) -> pd.Series:
    a, b = x.to_numpy(), y.to_numpy()
    values = [np.corrcoef(a[i - n + 1 : i + 1], b[i - n + 1 : i + 1])[0, 1] if i >= n - 1 else np.nan for i in range(len(a))]
    return pd.Series(values, index=x.index)
