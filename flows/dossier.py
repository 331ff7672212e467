"""Dossier: one self-contained HTML page a run, with everything that speaks for a model and against it, out of sample.

What takes more than a table is measured here: how much money the account could carry, how the result spreads over resampled and
recombined histories, in which markets it was made, and what it rests on. The same figures go to MLflow, where runs are compared.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params, Sizing
from flows import report
from models.contract import Dataset, Model
from models.ensemble import Ensemble
from models.tft import Tft
from models.trees import Trees
from pipelines.execution import simulate
from pipelines.model import breakdown, evaluation, importance, paths, training

TEMPLATE = Path(__file__).with_name("dossier.html")
PAGE = "dossier.html"
#: Multiples of the account's capital that are tried.
CAPITALS = (1, 10, 100, 1000)
ROWS_SHOWN = 25
#: Newest rows whose forecasts are taken apart.
EXPLAINED_BARS = 250


@dataclass(frozen=True)
class Case:
    """What a dossier is about."""

    market: Market
    params: Params
    dataset: Dataset
    panel: Panel
    """The bars of the dataset's rows."""
    model: Model
    members: Mapping[str, FloatArray]
    """[T, S, Q] what each member forecast out of sample, by family; none for a model that was made from another."""
    forecasts: FloatArray
    """[T, S, Q] what the model forecast out of sample."""
    sized: Sequence[tuple[int, Sizing]]
    returns: FloatArray
    """[T] simple return of the replayed account in each bar, NaN before it was opened."""
    measured: Mapping[str, float]
    """Figures of evaluation and replay."""
    facts: Mapping[str, str]
    """Where it came from, in words."""


@dataclass(frozen=True)
class Section:
    """A part of the page: what it shows, what may be concluded, and a table or a drawing."""

    title: str
    says: str
    table: pl.DataFrame | None = None
    drawing: str = ""


@dataclass(frozen=True)
class Dossier:
    """What was found."""

    metrics: dict[str, float]
    sections: list[Section] = field(default_factory=list)

    def save(self, case: Case, folder: Path) -> None:
        """Write metrics.json and the page."""
        folder.mkdir(parents=True, exist_ok=True)
        finite = {name: value if math.isfinite(value) else None for name, value in self.metrics.items()}
        (folder / "metrics.json").write_text(json.dumps(finite, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(_page(self, case), encoding="utf-8")


def compiled(case: Case) -> Dossier:
    """Measure what evaluation and replay did not, and lay everything out."""
    ranked = evaluation.ranking(case.forecasts, case.dataset)
    chosen, year = case.params, case.market.bars_a_year
    found = breakdown.intervals(ranked, case.returns, year, chosen.evaluation.confidence, chosen.training.seed)
    carried, half = capacity(case)
    pbo, candidates = paths.overfitted(case.dataset, _candidates(case))
    found |= {"capacity_half": half, "pbo": pbo, "pbo_candidates": float(candidates)}
    recombined, walked = _recombined(case)
    sections = [
        _skill(case, ranked),
        Section("Against what else could have been chosen", SAYS["baselines"], _rivals({**case.measured, **found})),
        *walked,
        Section("By regime", SAYS["regimes"], breakdown.table(case.dataset, ranked, case.forecasts, case.returns, year)),
        Section("How much money it could carry", SAYS["capacity"], carried),
        *_rests_on(case),
        Section("Members", SAYS["members"], _members(case.model)),
    ]
    return Dossier(found | recombined, sections)


def capacity(case: Case) -> tuple[pl.DataFrame, float]:
    """Return what came of multiples of the capital, and the capital at which the Sharpe ratio has halved; NaN where it never did.

    Costs are those of the one cost model: spread, slippage, fees, and an impact that grows with the share of a bar's volume.
    """
    since = case.panel.event_at[np.flatnonzero(np.isfinite(case.forecasts).any(axis=(1, 2)))[0]]
    rows = []
    for factor in CAPITALS:
        capital = case.params.fills.capital * factor
        told = simulate.run(
            case.panel, case.forecasts, case.market, case.params, model_version="dossier", capital=capital, since=since,
            scale=case.dataset.scale, sized=case.sized,
        ).metrics  # fmt: skip
        rows.append(
            {"capital": capital, **{name: told[name] for name in ("roi", "sharpe", "turnover", "exposure", "max_drawdown")}}
        )
    table = pl.DataFrame(rows)
    return table, _halved(table["capital"].to_numpy(), table["sharpe"].to_numpy())


def _halved(capital: FloatArray, sharpe: FloatArray) -> float:
    """Return where the Sharpe ratio first falls to half of the smallest account's, between two accounts along the logarithm."""
    below = np.flatnonzero(sharpe <= 0.5 * sharpe[0])
    if sharpe[0] <= 0.0 or not len(below):
        return math.nan
    k = int(below[0])
    share = (sharpe[k - 1] - 0.5 * sharpe[0]) / (sharpe[k - 1] - sharpe[k])
    return float(capital[k - 1] * (capital[k] / capital[k - 1]) ** share)


def _candidates(case: Case) -> dict[str, FloatArray]:
    """Return the forecasts of everything that could have been chosen: the model, its members, and the baselines that rank."""
    folds = training.split(case.dataset, case.params, case.market)
    members = case.members if len(case.members) > 1 else {}
    return {"model": case.forecasts, **members, **evaluation.baselines(case.dataset, case.params, case.market, folds)}


def _recombined(case: Case) -> tuple[dict[str, float], list[Section]]:
    """Return what combinatorial purged cross-validation found, where it was asked for."""
    if not case.params.evaluation.groups:
        return {}, []
    name = case.params.training.families[0]
    found = paths.walk(case.dataset, case.params, case.market, name)
    numbers = range(1, len(found.rank_ic) + 1)
    table = pl.DataFrame({"path": numbers, "rank_ic": found.rank_ic, "rank_ic_t": found.rank_ic_t})
    told = {"paths": float(len(found.rank_ic)), "paths_rank_ic": float(found.rank_ic.mean())}
    told |= {"paths_rank_ic_low": float(found.rank_ic.min()), "paths_rank_ic_high": float(found.rank_ic.max())}
    return told, [Section(f"Recombined histories, {name}", SAYS["paths"], table)]


def _skill(case: Case, ranked: FloatArray) -> Section:
    drawn, (above, below) = report.figure(10.4, 4.8, nrows=2, height_ratios=[2, 1], sharex=True)
    known = np.isfinite(ranked)
    above.plot(case.dataset.event_at[known], np.cumsum(ranked[known]), color=report.BLUE, linewidth=1.4)
    above.set_ylabel("rank IC, summed")
    earned = np.isfinite(case.returns)
    below.plot(case.dataset.event_at[earned], np.cumprod(1.0 + case.returns[earned]) - 1.0, color=report.INK, linewidth=1.2)
    below.set_ylabel("net return")
    return Section("Skill and the account over time", SAYS["skill"], drawing=report.svg(drawn))


def _rivals(shown: Mapping[str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"figure": name, "found": shown.get(name), "what it asks": asks} for name, asks in ASKS.items()],
        schema={"figure": pl.String, "found": pl.Float64, "what it asks": pl.String},
    )


def _rests_on(case: Case) -> list[Section]:
    """Return what is lost out of sample without each family of features, and what the fitted members say they look at."""
    name = case.params.training.families[0]
    lost = importance.permuted(case.dataset, case.params, case.market, name, importance.families(case.dataset.names))
    told = [Section(f"What {name} loses without a family of features", SAYS["permuted"], lost)]
    for member in case.model.members if isinstance(case.model, Ensemble) else ():
        if isinstance(member, Trees):
            shares = member.contributions(case.dataset.features[-EXPLAINED_BARS:])
            told.append(Section("What moves the trees' forecasts", SAYS["contributions"], _shares(shares)))
        if isinstance(member, Tft):
            told.append(Section("What the transformer takes in", SAYS["taken"], _shares(member.importance())))
            told.append(Section("How far back the transformer looks", SAYS["attention"], drawing=_attention(member)))
    return told


def _shares(shares: Mapping[str, float]) -> pl.DataFrame:
    largest = sorted(shares.items(), key=lambda each: (-each[1], each[0]))[:ROWS_SHOWN]
    return pl.DataFrame(largest, schema={"feature": pl.String, "share": pl.Float64}, orient="row")


def _attention(member: Tft) -> str:
    drawn, axes = report.figure(10.4, 2.6)
    weights = member.insight.attention
    axes.bar(range(1 - len(weights), 1), weights, color=report.BLUE)
    axes.set(xlabel="bars before the forecast", ylabel="attention")
    return report.svg(drawn)


def _members(model: Model) -> pl.DataFrame:
    members = zip(model.members, model.weights, strict=True) if isinstance(model, Ensemble) else [(model, 1.0)]
    rows = [
        {"member": each.family, "weight": weight, "rounds": each.rounds, "context": each.context_bars} for each, weight in members
    ]
    return pl.DataFrame(rows)


def _page(found: Dossier, case: Case) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": report.number, "drawing": report.safe}
    shown = {**case.measured, **found.metrics}
    cards = [(title, _card(shown, names)) for title, names in CARDS.items()]
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    parts = [replace(each, table=each.table.fill_nan(None)) if each.table is not None else each for each in found.sections]
    return template.render(market=case.market.name, facts=case.facts, cards=cards, sections=parts)


def _card(shown: Mapping[str, Any], names: Sequence[str]) -> str:
    first, *ends = [report.number(_known(shown.get(name))) for name in names]
    return f"{first} ({ends[0]} to {ends[1]})" if ends else first


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.3g}")


CARDS: dict[str, tuple[str, ...]] = {
    "rank IC, and where it may lie": ("rank_ic", "rank_ic_boot_low", "rank_ic_boot_high"),
    "its HAC t": ("rank_ic_t",),
    "yearly Sharpe ratio, net": ("sharpe", "sharpe_boot_low", "sharpe_boot_high"),
    "return on the account, net": ("roi", "return_boot_low", "return_boot_high"),
    "largest fall": ("max_drawdown",),
    "turnover a year": ("turnover",),
    "worst miss of a quantile's level": ("coverage_error",),
    "p that a baseline is as good (SPA)": ("spa_p",),
    "probability of backtest overfitting": ("pbo",),
    "capital at which the Sharpe ratio halves": ("capacity_half",),
}
ASKS = {
    "spa_p": "could some baseline's pinball loss be as small? Hansen's test, the largest p of all baselines",
    "reality_check_p": "the same by White's test",
    "baseline_t": "by how many standard errors the rank IC is above that of the baseline that comes closest",
    "pinball_skill": "share of pinball loss saved against forecasts that look at nothing",
    "pbo": "how often the best of the candidates on half of the rows is below the middle on the other half",
    "pbo_candidates": "the candidates: the model, its members, the baselines that rank",
}
SAYS = {
    "skill": "Out of sample, by walk-forward. A line that rises only in places was right only in places; see the regimes.",
    "baselines": "Whoever does not beat these has learned nothing that could not have been said without a model.",
    "paths": "The one history cut into parts and put together anew, every row forecast by a model that had not seen it. How far the"
    " paths lie apart is how much of the figure is the luck of one history. Models learn from later rows here: no path could have"
    " been earned.",
    "regimes": "Each row by what was known at its bar: the market's trend over the newest outcomes seen, and its volatility against"
    " the median before. Many regimes were looked at, so that one good one proves nothing.",
    "capacity": "The same decisions with more money. Impact grows with the share of a bar's volume, and what a bar cannot take is"
    " not traded.",
    "permuted": "A family is shuffled as one among the symbols of each row of the newest fold, and the fall of the rank IC and its"
    " standard error are told. A family that costs nothing to lose may still be what another one repeats.",
    "contributions": "Mean absolute SHAP value of the newest rows, in shares. It tells what the model uses, not what that is"
    " worth.",
    "taken": "Weights of the encoder's variable selection, over windows that it last learned from.",
    "attention": "Weight that the newest position gives to each row before it.",
    "members": "Weights are by out-of-sample pinball loss, shrunk to equal ones.",
}
