"""Repetition: which headlines say again what an earlier one said, and how new each is. Only the past is looked at.

Two headlines are alike by the share of words and pairs of words that they have in common (Jaccard): exactly, without sampling.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.panel import FloatArray
from domain.params import News
from features.kernels.calendar import DAY_US

IntArray = npt.NDArray[np.int64]

SIGNS = re.compile(r"[^\w%$]+")
WORD = r"\S+"
#: Headlines whose likeness to their past is computed at a time.
BLOCK = 256


def plain(headline: str) -> str:
    """Return a headline in lower case without punctuation: what two spellings of one headline share."""
    return " ".join(SIGNS.sub(" ", headline.lower()).split())


def mark(news: pl.DataFrame, settings: News) -> pl.DataFrame:
    """Add `repeated`, `novelty` and `first` to headlines (symbol, known_at, headline), sorted by known_at and then headline.

    `repeated`: like one of the symbol's headlines of the `repetition_days` before. `novelty`: 1 less the greatest likeness to those
    of the `novelty_days` before. `first`: no symbol had this very headline in the `repetition_days` before. A headline that is
    known later changes nothing of these.
    """
    rows = news.sort("known_at", "event_at", "headline", "symbol", nulls_last=False)
    rows = rows.with_columns(plain=pl.Series([plain(headline) for headline in rows["headline"]], dtype=pl.String))
    known = rows["known_at"].dt.timestamp("us").to_numpy()
    repeated, novelty = np.zeros(len(rows), dtype=bool), np.ones(len(rows))
    vectors = _vectors(rows["plain"].to_list())
    for places in rows.with_row_index().group_by("symbol", maintain_order=True).agg("index")["index"]:
        chosen = places.to_numpy().astype(np.int64)
        # The novelty of what names no symbol is never asked for, and its past is the longest.
        far_days = settings.novelty_days if rows["symbol"][int(chosen[0])] else settings.repetition_days
        repeated[chosen], novelty[chosen] = _against_past(vectors[chosen], known[chosen], settings, far_days)
    since = pl.col("known_at") - pl.col("known_at").shift(1).over("plain")
    first = since.is_null() | (since > pl.duration(microseconds=round(settings.repetition_days * DAY_US)))
    return rows.with_columns(repeated=pl.Series(repeated), novelty=pl.Series(novelty), first=first).drop("plain")


def _vectors(texts: list[str]) -> Any:
    """Return a sparse row a text with a 1 for each word and each pair of neighbouring words."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(texts):
        return csr_matrix((len(texts), 1))
    return CountVectorizer(ngram_range=(1, 2), analyzer="word", token_pattern=WORD, binary=True, dtype=np.float32).fit_transform(
        texts
    )


def _against_past(vectors: Any, known: IntArray, settings: News, far_days: float) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return for each headline of one symbol whether it repeats, and its novelty."""
    # Of all runs of words only the symbol's own: a product looks at every column.
    vectors = vectors[:, np.unique(vectors.indices)]
    sizes = np.asarray(vectors.sum(axis=1)).ravel()
    near, far = round(settings.repetition_days * DAY_US), round(far_days * DAY_US)
    repeated, novelty = np.zeros(len(known), dtype=bool), np.ones(len(known))
    for start in range(0, len(known), BLOCK):
        stop = min(start + BLOCK, len(known))
        oldest = int(np.searchsorted(known, known[start] - max(near, far)))
        shared = (vectors[start:stop] @ vectors[oldest:stop].T).toarray()
        alike = shared / np.maximum(sizes[start:stop, None] + sizes[None, oldest:stop] - shared, 1.0)
        age = known[start:stop, None] - known[None, oldest:stop]
        before = np.arange(oldest, stop)[None, :] < np.arange(start, stop)[:, None]
        highest = [np.where(before & (age <= reach), alike, 0.0).max(axis=1) for reach in (near, far)]
        repeated[start:stop] = highest[0] >= settings.repetition_similarity
        novelty[start:stop] = 1.0 - highest[1]
    return repeated, novelty
