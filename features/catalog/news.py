"""The family `news`: mood, volume, novelty and disagreement of headlines, faded by time since publication.

IMPULSES are the covariates that these features read: what the join of headlines to a panel has to bring.
"""

from dataclasses import dataclass
from typing import Literal

from features import indicators as plain
from features.catalog.rows import named, row
from features.feature import Feature
from features.kernels import cross_section, news
from features.kernels.calendar import DAY_US

Measure = Literal["sentiment", "square", "novel", "news", "volume", "latest"]
Scope = Literal["symbol", "market", "unnamed"]

HALF_LIVES_US = {"6h": DAY_US // 4, "1d": DAY_US, "5d": 5 * DAY_US, "60d": 60 * DAY_US}


@dataclass(frozen=True)
class Impulse:
    """A covariate: what became known since the row before, summed over headlines, each faded to the row's close."""

    measure: Measure
    """Of each headline: its score, the score's square, the score times its novelty, 1 if it is no repetition, 1 in any case; or
    when the newest was published, in microseconds since 1970. Scores of repetitions count as nothing."""
    scope: Scope
    """Whose headlines: the symbol's own, all of the market, those of the market that name no symbol."""
    half_life: str | None

    @property
    def name(self) -> str:
        """Return the covariate's name."""
        return "_".join(filter(None, ("news", "" if self.scope == "symbol" else self.scope, self.measure, self.half_life)))

    @property
    def half_life_us(self) -> int:
        """Return the half-life in microseconds."""
        return HALF_LIVES_US[self.half_life] if self.half_life is not None else 0


def _sums(scope: Scope, measure: Measure, *half_lives: str) -> tuple[Impulse, ...]:
    return tuple(Impulse(measure, scope, half_life) for half_life in half_lives)


IMPULSES: tuple[Impulse, ...] = (
    *_sums("symbol", "sentiment", "6h", "1d", "5d"),
    *_sums("symbol", "news", "1d", "5d"),
    *_sums("symbol", "square", "5d"),
    *_sums("symbol", "novel", "1d", "5d"),
    *_sums("symbol", "volume", "1d", "60d"),
    Impulse("latest", "symbol", None),
    *_sums("market", "sentiment", "1d", "5d"),
    *_sums("market", "news", "1d", "5d"),
    *_sums("unnamed", "sentiment", "5d"),
    *_sums("unnamed", "news", "5d"),
)


def _sum(impulse: Impulse) -> Feature:
    return Feature(f"{impulse.name}_sum", news.decayed, (impulse.name, "event_at", "close"), (float(impulse.half_life_us),),
                   news.DECAY_SLOTS)  # fmt: skip


_SUM = {impulse.name: _sum(impulse) for impulse in IMPULSES if impulse.half_life}
_5D = _SUM["news_sentiment_5d"]


def _mean(name: str, scope: str, half_life: str) -> Feature:
    return plain.pointwise(name, news.tone, _SUM[f"news_{scope}sentiment_{half_life}"], _SUM[f"news_{scope}news_{half_life}"])


_TONE = {half_life: _mean(f"news_tone_{half_life}", "", half_life) for half_life in ("1d", "5d")}
_MOOD = {half_life: _mean(f"news_mood_{half_life}", "market_", half_life) for half_life in ("1d", "5d")}
_DECAY = "decay by time since publication; Tetlock, Saar-Tsechansky, Macskassy 2008, J. Finance 63(3)"

FEATURES: tuple[Feature, ...] = (
    *(
        named("news", f"news_sentiment_{half_life}_faded", f"sum of the headlines' scores, halved every {half_life}", _DECAY,
              _SUM[f"news_sentiment_{half_life}"])
        for half_life in ("6h", "1d", "5d")
    ),
    named("news", "news_tone_1d", "mean score of the last day's headlines", _DECAY, _TONE["1d"]),
    named("news", "news_tone_5d", "mean score of the last days' headlines", _DECAY, _TONE["5d"]),
    named("news", "news_tone_change", "mean score of the last day less that of the last days", "",
          plain.difference(_TONE["1d"], _TONE["5d"])),
    named("news", "news_sentiment_change_5", "change of the faded sum of scores over 5 bars", "", plain.change(_5D, 5)),
    *(
        named("news", f"news_novel_{half_life}_faded", f"sum of scores times novelty, halved every {half_life}",
              "Tetlock 2011, Rev. Financial Studies 24(5)", _SUM[f"news_novel_{half_life}"])
        for half_life in ("1d", "5d")
    ),
    row("news", "news_disagreement_5d", "standard deviation of the headlines' scores", "Antweiler, Frank 2004, J. Finance 59(3)",
        news.disagreement, _SUM["news_square_5d"], _5D, _SUM["news_news_5d"]),
    row("news", "news_volume_1d_faded", "log of one more than the number of headlines, halved every day", "", news.volume,
        _SUM["news_volume_1d"]),
    row("news", "news_surge", "number of headlines against the symbol's own average of months", "Barber, Odean 2008, RFS 21(2)",
        news.surge, _SUM["news_volume_1d"], _SUM["news_volume_60d"], parameters=(60.0,)),
    row("news", "news_freshness", "1 over 1 and the days since the newest headline", "", news.freshness, "news_latest", "event_at",
        "close", slots=news.FRESHNESS_SLOTS),
    named("news", "news_mood_1d", "mean score of all headlines of the market, last day", "Tetlock 2007, J. Finance 62(3)",
          _MOOD["1d"]),
    named("news", "news_mood_5d", "mean score of all headlines of the market, last days", "Tetlock 2007, J. Finance 62(3)",
          _MOOD["5d"]),
    named("news", "news_mood_unnamed_5d", "mean score of the headlines that name no symbol", "Tetlock 2007, J. Finance 62(3)",
          _mean("news_mood_unnamed_5d", "unnamed_", "5d")),
    row("news", "news_breadth_5d", "share of symbols with good news less the share with bad news", "", cross_section.mean,
        plain.pointwise("news_side_5d", news.side, _5D), whole_row=True),
    named("news", "news_tone_over_mood_5d", "mean score less that of the market", "", plain.difference(_TONE["5d"], _MOOD["5d"])),
    row("news", "news_rank_sentiment_5d", "rank of the faded sum of scores in its row, -0.5 to 0.5", "", cross_section.rank, _5D,
        slots=cross_section.RANK_SLOTS, whole_row=True),
)  # fmt: skip
