"""Evaluation: what out-of-sample forecasts were worth, beside what anyone could have said."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from domain.forecast import LEVELS, MEDIAN
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from models import baseline, bootstrap, family, metrics
from models.contract import Dataset
from models.splits import Fold
from pipelines.model import training

#: The baselines that forecast the same whatever they see.
CLIMATOLOGY = ("zero", "drift")


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on rows that the forecasting model had not seen."""

    metrics: dict[str, float]
    """Flat numbers; NaN where nothing could be measured."""
    calibration: pl.DataFrame
    """level, observed, error: a row a quantile."""
    ic: pl.DataFrame
    """event_at, rank_ic, cumulative: a row a bar whose symbols could be ranked."""
    folds: pl.DataFrame
    """A row a fold: its rows, times and figures."""
    baselines: pl.DataFrame
    """name, rows, pinball, rank_ic, rank_ic_t, coverage_error, lead_t, of the model and each baseline on the same rows.

    `lead_t` is the HAC t of the model's rank IC over this one's, a baseline that ranks nothing counting as 0.
    """
    importance: dict[str, float]

    def save(self, folder: Path) -> None:
        """Write metrics.json (flat), evaluation.json (all of it) and plots/{calibration,ic,importance}.csv."""
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        _write(folder / "metrics.json", self.metrics)
        tables = {"calibration": self.calibration, "folds": self.folds, "baselines": self.baselines}
        whole: dict[str, Any] = {name: table.to_dicts() for name, table in tables.items()}
        _write(folder / "evaluation.json", whole | {"metrics": self.metrics, "importance": self.importance})
        self.calibration.select("level", "observed").write_csv(folder / "plots" / "calibration.csv")
        self.ic.write_csv(folder / "plots" / "ic.csv")
        shares = sorted(self.importance.items(), key=lambda item: (-item[1], item[0]))
        table = pl.DataFrame(shares, schema={"feature": pl.String, "share": pl.Float64}, orient="row")
        table.write_csv(folder / "plots" / "importance.csv")


def evaluate(
    dataset: Dataset, forecasts: FloatArray, params: Params, market: Market, *, importance: Mapping[str, float] | None = None
) -> Evaluation:
    """Measure [T, S, Q] forecasts, NaN where a model had seen the row, against the forward returns and the baselines.

    `importance` is the final model's, told and not measured here.
    """
    folds = training.split(dataset, params, market)
    ranked = ranking(forecasts, dataset)
    held = _held(dataset, forecasts, params, market, folds)
    table = _compared(dataset, held)
    measured = _location(forecasts, dataset, params) | _distribution(forecasts, dataset) | _against(table)
    measured |= _superior(dataset, held, params.training.seed)
    calibration = _calibration(forecasts, dataset.forward)
    return Evaluation(
        measured, calibration, _series(ranked, dataset), _by_fold(forecasts, dataset, folds), table, dict(importance or {})
    )


def ranking(forecasts: FloatArray, dataset: Dataset) -> FloatArray:
    """Return [T] the rank IC of the median forecast, by row, or pooled over time where too few symbols trade to rank a row."""
    median, outcome = forecasts[..., MEDIAN], dataset.forward
    names = (np.isfinite(median) & np.isfinite(outcome)).sum(axis=1)
    narrow = names.max(initial=0) < metrics.NAMES_MIN
    return metrics.pooled_ic(median, outcome) if narrow else metrics.rank_ic(median, outcome)


def _location(forecasts: FloatArray, dataset: Dataset, params: Params) -> dict[str, float]:
    """Return what the table of metrics says of the median, and the confidence interval of the rank IC."""
    median, outcome, horizon = forecasts[..., MEDIAN], dataset.forward, dataset.horizon
    statistics = {row.statistic for row in metrics.METRICS}
    series = {statistic: statistic(median, outcome) for statistic in statistics} | {metrics.rank_ic: ranking(forecasts, dataset)}
    measured = {row.name: row.aggregation(series[row.statistic], horizon) for row in metrics.METRICS}
    reach = stats.norm.ppf(0.5 + 0.5 * params.evaluation.confidence) * _ratio(measured["rank_ic"], measured["rank_ic_t"])
    interval = {"rank_ic_low": measured["rank_ic"] - reach, "rank_ic_high": measured["rank_ic"] + reach}
    return measured | interval | {"hit_rate": metrics.hit_rate(median, outcome)}


def _distribution(forecasts: FloatArray, dataset: Dataset) -> dict[str, float]:
    known = np.isfinite(forecasts[..., MEDIAN]) & np.isfinite(dataset.forward)
    observed = _observed(forecasts, dataset.forward)
    named = {f"coverage_{round(100 * level):02d}": found for level, found in zip(LEVELS, observed, strict=True)}
    loss = metrics.mean(metrics.pinball_rows(forecasts, dataset.forward, LEVELS))
    counted = {"rows": float(known.any(axis=1).sum()), "samples": float(known.sum())}
    return named | counted | {"coverage_error": _coverage_error(forecasts, dataset.forward), "pinball": loss, "crps": 2.0 * loss}


def _against(table: pl.DataFrame) -> dict[str, float]:
    """Return how the model stands against the baselines: as a distribution and as a ranking.

    `pinball_skill` is the share of pinball loss saved against climatology, the better of the two baselines that look at nothing
    (Murphy 1988, Mon. Weather Rev. 116); `baseline_t` the HAC t of the rank IC over that of the baseline that comes closest.
    """
    by_name = {row["name"]: row for row in table.to_dicts()}
    model = by_name.pop("model")
    named = {f"pinball_{name}": row["pinball"] for name, row in by_name.items()}
    climatology = min(by_name[name]["pinball"] for name in CLIMATOLOGY)
    leads = [row["lead_t"] for row in by_name.values() if math.isfinite(row["lead_t"])]
    skill = metrics.skill(model["pinball"], climatology)
    return named | {"pinball_skill": skill, "baseline_t": min(leads, default=math.nan)}


def _superior(dataset: Dataset, held: Mapping[str, FloatArray], seed: int) -> dict[str, float]:
    """Return the p values that the model's pinball loss is no smaller than some baseline's; NaN where there are too few rows.

    Hansen 2005, JBES 23(4), and White 2000, Econometrica 68(5), over stationary bootstrap samples: the largest over the baselines.
    """
    losses = {name: metrics.pinball_rows(each, dataset.forward, LEVELS) for name, each in held.items()}
    if np.isfinite(losses["model"]).sum() < bootstrap.ROWS_MIN:
        return {"spa_p": math.nan, "reality_check_p": math.nan}
    others = np.stack([each for name, each in losses.items() if name != "model"], axis=1)
    found = bootstrap.superior(losses["model"], others, seed)
    return {"spa_p": found.spa_p, "reality_check_p": found.reality_check_p}


def baselines(dataset: Dataset, params: Params, market: Market, folds: list[Fold]) -> dict[str, FloatArray]:
    """Return by name what every baseline forecasts out of sample, [T, S, Q]."""
    names = [name for name in family.BASELINES if name != "momentum" or baseline.PAST_RETURN in dataset.names]
    return {name: training.walk(dataset, params, market, folds, name)[0] for name in names}


def _held(dataset: Dataset, forecasts: FloatArray, params: Params, market: Market, folds: list[Fold]) -> dict[str, FloatArray]:
    """Return by name the forecasts [T, S, Q] of the model and of every baseline, where all of them forecast something."""
    made = {"model": forecasts, **baselines(dataset, params, market, folds)}
    common = np.all([np.isfinite(each[..., MEDIAN]) for each in made.values()], axis=0)
    return {name: np.where(common[..., None], each, math.nan) for name, each in made.items()}


def _compared(dataset: Dataset, held: Mapping[str, FloatArray]) -> pl.DataFrame:
    """Measure the model and every baseline."""
    ranked = {name: ranking(each, dataset) for name, each in held.items()}
    leads = {name: metrics.overlap_t(ranked["model"] - np.nan_to_num(each), dataset.horizon) for name, each in ranked.items()}
    return pl.DataFrame([{"name": name, **_figures(each, dataset), "lead_t": leads[name]} for name, each in held.items()])


def _by_fold(forecasts: FloatArray, dataset: Dataset, folds: list[Fold]) -> pl.DataFrame:
    rows = []
    for number, fold in enumerate(folds, start=1):
        held = np.full_like(forecasts, math.nan)
        held[fold.test] = forecasts[fold.test]
        first, last = (str(dataset.event_at[row]) for row in fold.test[[0, -1]])
        rows.append({"fold": number, "train_bars": len(fold.train), "first": first, "last": last, **_figures(held, dataset)})
    return pl.DataFrame(rows)


def _figures(forecasts: FloatArray, dataset: Dataset) -> dict[str, float]:
    series = ranking(forecasts, dataset)
    loss = metrics.pinball_rows(forecasts, dataset.forward, LEVELS)
    return {
        "rows": float(np.isfinite(loss).sum()),
        "pinball": metrics.mean(loss),
        "rank_ic": metrics.mean(series),
        "rank_ic_t": metrics.overlap_t(series, dataset.horizon),
        "coverage_error": _coverage_error(forecasts, dataset.forward),
    }


def _calibration(forecasts: FloatArray, outcome: FloatArray) -> pl.DataFrame:
    observed = _observed(forecasts, outcome)
    errors = [found - level for found, level in zip(observed, LEVELS, strict=True)]
    return pl.DataFrame({"level": LEVELS, "observed": observed, "error": errors})


def _observed(forecasts: FloatArray, outcome: FloatArray) -> list[float]:
    return [metrics.coverage(forecasts[..., k], outcome) for k in range(len(LEVELS))]


def _coverage_error(forecasts: FloatArray, outcome: FloatArray) -> float:
    return max(abs(found - level) for found, level in zip(_observed(forecasts, outcome), LEVELS, strict=True))


def _series(ranked: FloatArray, dataset: Dataset) -> pl.DataFrame:
    known = np.isfinite(ranked)
    return pl.DataFrame(
        {"event_at": dataset.event_at[known], "rank_ic": ranked[known], "cumulative": np.cumsum(ranked[known])}
    ).with_columns(pl.col("event_at").dt.replace_time_zone("UTC"))


def _ratio(above: float, below: float) -> float:
    return abs(above / below) if below else math.nan


def _write(path: Path, value: Any) -> None:
    """Write JSON that any reader takes: what is not finite becomes null."""
    path.write_text(json.dumps(_plain(value), indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
