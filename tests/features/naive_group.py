"""Naive twins of groups, in pandas, over a whole market: bars in rows, symbols in columns."""

import numpy as np
import pandas as pd

from domain.panel import Panel


def tables(panel: Panel) -> dict[str, pd.DataFrame]:
    """Return every feature of the family by name, as a table of the panel's shape. The panel has no gaps."""
    prices = {name: pd.DataFrame(values) for name, values in panel.columns().items()}
    c, volume = np.log(prices["close"]), np.log(prices["volume"])
    r = c.diff()
    market = pd.DataFrame(np.tile(r.mean(axis=1).to_numpy()[:, None], (1, r.shape[1])))
    beta = market.rolling(60).cov(r, ddof=0) / market.rolling(60).var(ddof=0)
    correlation = r.rolling(60).corr(market)
    residual = r - beta * market
    unexplained = r.rolling(60).std(ddof=0) * np.sqrt(1 - correlation**2)
    volatility = np.sqrt(_ema(r**2, 20))
    ranked = {
        "return_1": r,
        "return_60": c.diff(60),
        "momentum_skipped": c.diff(60).shift(5),
        "reversal": _score(c, 20),
        "range": np.log(prices["high"] / prices["low"]),
        "size": np.log((prices["vwap"] * prices["volume"]).rolling(20).mean()),
        "residual_volatility": unexplained,
        "beta": beta,
    }
    scored = {"return_5": c.diff(5), "return_20": c.diff(20), "volatility": volatility, "volume": _score(volume, 60)}
    moved = {f"return_{n}": c.diff(n) for n in (1, 5, 20, 60)}
    sector = prices["sector"].to_numpy()
    found = {f"row_rank_{name}": rank(x) for name, x in ranked.items()}
    found |= {f"row_score_{name}": x.sub(x.mean(axis=1), axis=0).div(x.std(axis=1, ddof=0), axis=0) for name, x in scored.items()}
    found |= {f"sector_demeaned_{name}": by_sector(x, sector, lambda g: g.sub(g.mean(axis=1), axis=0)) for name, x in moved.items()}
    found |= {
        f"sector_rank_{name}": by_sector(x, sector, rank)
        for name, x in (moved | {"volatility": volatility}).items()
        if name != "return_1"
    }
    found |= {
        "market_correlation_60": correlation,
        "market_residual_1": residual,
        "market_residual_20": residual.rolling(20).sum(),
        "residual_volatility_60": unexplained,
        "row_dispersion_1": _wide(r.std(axis=1, ddof=0), r),
        "row_breadth_1": _wide((r > 0).sum(axis=1) / r.notna().sum(axis=1), r),
        "row_breadth_60": _wide((c > c.rolling(60).mean()).mean(axis=1), c.rolling(60).mean()),
        "row_dispersion_20": _wide(c.diff(20).std(axis=1, ddof=0), c.diff(20)),
        "behind_leader_20": c.diff(20).sub(c.diff(20).max(axis=1), axis=0),
        "relative_strength_60": c.diff(60).sub(c.diff(60).mean(axis=1), axis=0),
    }
    return found


def rank(x: pd.DataFrame) -> pd.DataFrame:
    """Return ranks in each row from -0.5 to 0.5; a value alone in its row has 0."""
    count = x.notna().sum(axis=1)
    shares = x.rank(axis=1).sub(1.0).div((count - 1).clip(lower=1), axis=0) - 0.5
    return shares.where(x.isna() | (count > 1).to_numpy()[:, None], 0.0)


def by_sector(x: pd.DataFrame, sector: np.ndarray, measure: "object") -> pd.DataFrame:
    """Return a measure of each row taken over each sector alone; those whose sector is NaN form one."""
    codes = pd.DataFrame(sector).fillna(-1.0)
    out = pd.DataFrame(np.nan, index=x.index, columns=x.columns)
    for code in np.unique(codes.to_numpy()):
        inside = codes == code
        out = out.where(~inside, measure(x.where(inside)))  # type: ignore[operator]
    return out


def _score(x: pd.DataFrame, bars: int) -> pd.DataFrame:
    return (x - x.rolling(bars).mean()) / x.rolling(bars).std(ddof=0)


def _ema(x: pd.DataFrame, bars: int) -> pd.DataFrame:
    seed = x.iloc[1 : bars + 1].mean().to_frame().T
    rest = pd.concat([seed, x.iloc[bars + 1 :]]).ewm(span=bars, adjust=False).mean()
    return rest.set_axis(range(bars, len(x))).reindex(x.index)


def _wide(row: pd.Series, like: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(np.tile(row.to_numpy()[:, None], (1, like.shape[1]))).where(like.notna())
