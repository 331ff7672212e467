"""Join: stored headlines to the covariates of a panel, each headline in the first row that closes when it is known."""

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.error import NoData
from domain.panel import FloatArray, Panel
from domain.params import News
from features.catalog.news import IMPULSES, Impulse
from models import sentiment
from pipelines.data.news import repetition
from pipelines.store import Store

IntArray = npt.NDArray[np.int64]


def join(store: Store, panel: Panel, settings: News, *, after: np.datetime64 | None = None) -> dict[str, FloatArray]:
    """Return the covariates that IMPULSES names, float64 [T, S]; none at all when the market has no headlines.

    A row holds what became known after the row before and by its own close, faded from publication to that close by
    2^(-age / half-life). `after` is the close of the row before the panel's first; without it everything older belongs to the first
    row, and a history may begin anywhere. A symbol's covariates do not depend on its bars. Stored sentiment counts; headlines
    without are read by the reader that `settings` names. Raises what the store and the reader raise.
    """
    try:
        stored = store.read("news", where={"market": panel.market})
    except NoData:
        return {}
    return impulses(scored(repetition.mark(stored, settings), settings), panel, after) if len(stored) else {}


def scored(news: pl.DataFrame, settings: News) -> pl.DataFrame:
    """Return the headlines with a sentiment each: the stored one, or what the reader says of those that have none."""
    lacking = news["sentiment"].is_null()
    if not lacking.any():
        return news
    reader = sentiment.load(settings.sentiment, settings.model, settings.device)
    values = news["sentiment"].to_numpy().copy()
    values[lacking.to_numpy()] = reader.score(news["headline"].filter(lacking).to_list())
    return news.with_columns(sentiment=pl.Series(values, dtype=pl.Float64))


def impulses(news: pl.DataFrame, panel: Panel, after: np.datetime64 | None) -> dict[str, FloatArray]:
    """Return the covariates from marked and scored headlines."""
    news = news.filter(pl.col("known_at") > _aware(after)) if after is not None else news
    known, published = (news[name].dt.timestamp("us").to_numpy() for name in ("known_at", "event_at"))
    closes = panel.event_at.astype("datetime64[us]").astype(np.int64)
    row = np.searchsorted(closes, known, side="left")
    news, row, published = news.filter(pl.Series(row < len(closes))), row[row < len(closes)], published[row < len(closes)]
    age_us = np.maximum(closes[row] - published, 0) if len(row) else row
    return {impulse.name: _impulse(impulse, news, panel, row, published, age_us) for impulse in IMPULSES}


def _impulse(
    impulse: Impulse, news: pl.DataFrame, panel: Panel, row: IntArray, published: IntArray, age_us: IntArray
) -> FloatArray:
    place = {symbol: column for column, symbol in enumerate(panel.symbols)}
    column = np.array([place.get(symbol, -1) for symbol in news["symbol"]], dtype=np.int64)
    unnamed = (news["symbol"].fill_null("") == "").to_numpy()
    if impulse.measure == "latest":
        return _latest(panel, row, column, published)
    counted = {"symbol": column >= 0, "unnamed": unnamed, "market": news["first"].to_numpy()}[impulse.scope]
    value = _value(impulse, news) * np.exp2(-(age_us / impulse.half_life_us))
    out = np.zeros(panel.close.shape)
    if impulse.scope == "symbol":
        np.add.at(out, (row[counted], column[counted]), value[counted])
    else:
        out += np.bincount(row[counted], weights=value[counted], minlength=panel.bars)[:, None]
    return out


def _value(impulse: Impulse, news: pl.DataFrame) -> FloatArray:
    """Return what each headline adds on the day that it is published."""
    score = news["sentiment"].to_numpy()
    # Of the market every headline counts once, however many symbols it is about; `first` has seen to that.
    fresh = np.ones(len(news)) if impulse.scope == "market" else 1.0 - news["repeated"].to_numpy()
    values = {"sentiment": score, "square": score * score, "novel": score * news["novelty"].to_numpy(), "news": np.ones(len(news))}
    return np.ones(len(news)) if impulse.measure == "volume" else values[impulse.measure] * fresh


def _latest(panel: Panel, row: IntArray, column: IntArray, published: IntArray) -> FloatArray:
    out = np.full(panel.close.shape, -np.inf)
    own = column >= 0
    np.maximum.at(out, (row[own], column[own]), published[own].astype(np.float64))
    return np.where(np.isneginf(out), np.nan, out)


def _aware(at: np.datetime64) -> pl.Expr:
    return pl.lit(at.astype("datetime64[us]").item()).dt.replace_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
