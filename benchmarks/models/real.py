"""Every family on recorded markets, walk-forward, beside the baselines and Qlib's: `python -m benchmarks.models.real`.

One snapshot, one set of folds and one cost model a market; what is out of sample for one is out of sample for all. Forecasts are
traded by the house's own decisions and risk on the paper exchange. The table of a market lies beside this file.
"""

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import qlib
from benchmarks.models.recurrent import Gru
from domain import params as parameters
from domain.clock import SystemClock
from domain.forecast import LEVELS, MEDIAN
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from features import labels
from flows import home as homes
from flows import learn, stages
from flows.home import Home
from flows.stages import Job
from models import family, metrics
from models.contract import Dataset
from pipelines.data import imports, materialize, news
from pipelines.execution import simulate
from pipelines.model import training
from pipelines.model.training import Trained
from pipelines.store import Store

HERE = Path(__file__).parent
DATA = Path(os.environ.get("NIGHTSHIFT_DATA", HERE.parents[2] / "shared" / "data"))
#: Recorded headlines of some of a market's symbols.
HEADLINES = {"us_equity": "news_headlines"}
FILES = {"us_equity": "equities_daily_sp500", "crypto": "crypto_1h", "fx": "fx_1h"}
MEMBERS = ("trees", "sequence", "tft")
#: Configurations that were tried on these markets before this table was made: the families and baselines of it, and their rivals.
TRIALS = 8


@dataclass(frozen=True)
class World:
    """A recorded market, ready to be learned from."""

    market: Market
    params: Params
    panel: Panel
    dataset: Dataset


def world(name: str, families: tuple[str, ...], place: Path) -> World:
    """Return the recorded market with the features of some families of the catalogue."""
    params = parameters.load(homes.parameters(), name)
    params = params.model_copy(update={"features": params.features.model_copy(update={"families": families})})
    market, home = params.market(name), Home(place)
    if not home.store.exists():
        imports.bring(DATA / f"{FILES[name]}.parquet", market, params, Store(home.store), home.docs / name)
        if name in HEADLINES:
            news.store_file(DATA / f"{HEADLINES[name]}.parquet", market, params, Store(home.store))
    job = Job(place / "-".join(families), home, market, params)
    stages.run(job, skip=learn.MAKING)
    dataset = stages.load_dataset(job)
    panel = materialize.load_panel(job.at("snapshot"))
    return World(market, params, panel.rows(panel.bars - dataset.bars, panel.bars), dataset)


def figures(forecasts: FloatArray, here: World) -> dict[str, float]:
    """Return what forecasts were worth, as a ranking, as a distribution and as an account."""
    dataset, median = here.dataset, forecasts[..., MEDIAN]
    ranked, plain = metrics.rank_ic(median, dataset.forward), metrics.ic(median, dataset.forward)
    covered = [metrics.coverage(forecasts[..., k], dataset.forward) for k in range(len(LEVELS))]
    found = {"IC": metrics.mean(plain), "rank IC": metrics.mean(ranked), "t": metrics.overlap_t(ranked, dataset.horizon)}
    losses = metrics.pinball_rows(forecasts, dataset.forward, LEVELS)
    found |= {"ICIR": metrics.icir(ranked), "pinball, bp": 1e4 * metrics.mean(losses)}
    found |= {"worst coverage": max(abs(share - level) for share, level in zip(covered, LEVELS, strict=True))}
    return found | _traded(forecasts, here)


def _traded(forecasts: FloatArray, here: World) -> dict[str, float]:
    first = int(np.flatnonzero(np.isfinite(forecasts).any(axis=(1, 2)))[0])
    outcome = simulate.run(
        here.panel,
        forecasts,
        here.market,
        here.params,
        model_version="benchmark",
        since=here.panel.event_at[first],
        scale=here.dataset.scale,
    )
    told, equity = outcome.metrics, np.asarray(outcome.equity)
    returns = np.diff(equity, prepend=here.params.fills.capital) / np.concatenate(([here.params.fills.capital], equity[:-1]))
    reach = 1.96 * told["sharpe_se"]
    found = {"net Sharpe": told["sharpe"], "low": told["sharpe"] - reach, "high": told["sharpe"] + reach}
    found |= {"deflated": metrics.deflated_sharpe(returns, TRIALS), "ROI, %": 100 * told["roi"]}
    found |= {"win rate": told["win_rate"], "drawdown": told["max_drawdown"], "turnover a year": told["turnover"]}
    return found


def told(name: str, families: tuple[str, ...], place: Path) -> Iterator[tuple[str, dict[str, float], float]]:
    """Yield what trees make of headlines as well, on the same rows and folds; nothing where no headline was recorded."""
    if name in HEADLINES:
        began, here = SystemClock().monotonic_ns(), world(name, (*families, "news"), place)
        folds = training.split(here.dataset, here.params, here.market)
        forecasts, _ = training.walk(here.dataset, here.params, here.market, folds, "trees")
        yield "trees, with headlines", figures(forecasts, here), (SystemClock().monotonic_ns() - began) / 6e10


def rows(here: World, alpha: World) -> Iterator[tuple[str, dict[str, float], float]]:
    """Yield each forecaster's name, figures, and minutes."""
    dataset, params, market = here.dataset, here.params, here.market
    folds, clock = training.split(dataset, params, market), SystemClock()
    members: list[Trained] = []
    family.FAMILIES["gru"] = "benchmarks.models.recurrent:Gru"
    for name in (*family.BASELINES, *MEMBERS, Gru.family):
        began = clock.monotonic_ns()
        forecasts, steps = training.walk(dataset, params, market, folds, name)
        if name in MEMBERS:
            members.append(Trained(family.create(params.training, market.horizon, family=name), forecasts, folds, steps))
        yield name, figures(forecasts, here), (clock.monotonic_ns() - began) / 6e10
    joined = training.join(dataset, members, params, market)
    yield "ensemble", figures(joined.forecasts, here), 0.0
    print("weights", joined.model.weights, joined.model.offsets, flush=True)  # type: ignore[attr-defined]
    began, gap = clock.monotonic_ns(), (labels.known_after(market.horizon), params.training.embargo_bars)
    scores = qlib.walk(alpha.dataset, training.split(alpha.dataset, params, market), gap)
    width = np.full_like(scores, np.nan)
    shared = min(len(scores), len(joined.forecasts))
    width[-shared:] = joined.forecasts[-shared:]
    yield "LightGBM on Alpha158", figures(qlib.spread(scores, width), alpha), (clock.monotonic_ns() - began) / 6e10


def write(name: str, here: World, found: list[tuple[str, dict[str, float], float]]) -> None:
    """Write a market's table."""
    lines = [
        f"# {FILES[name]}: {len(here.panel.symbols)} symbols x {here.dataset.bars} bars, horizon {here.market.horizon}",
        "",
        f"`python -m benchmarks.models.real --markets {name}`; {here.params.training.folds} folds,",
        f"seed {here.params.training.seed}, costs as in params.yaml, {TRIALS} trials deflate the Sharpe ratio;",
        "low and high are its 95% interval.",
        "",
        "| forecaster | " + " | ".join(found[0][1]) + " | minutes |",
        "|---|" + "---:|" * (len(found[0][1]) + 1),
    ]
    for who, told, minutes in found:
        lines.append(f"| {who} | " + " | ".join(_number(value) for value in told.values()) + f" | {minutes:.1f} |")
    (HERE / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _number(value: Any) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "-"


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description="Compare every family on recorded markets.")
    parser.add_argument("--markets", default=",".join(FILES))
    asked = parser.parse_args()
    homes.quiet()
    for name in asked.markets.split(","):
        families = parameters.load(homes.parameters(), name).features.families
        with tempfile.TemporaryDirectory() as place:
            here, alpha = (world(name, chosen, Path(place)) for chosen in (families, ("alpha158",)))
            found = []
            for row in itertools.chain(told(name, families, Path(place)), rows(here, alpha)):
                found.append(row)
                print(name, row, flush=True)
            write(name, here, found)


if __name__ == "__main__":
    main()
