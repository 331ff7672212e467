"""What tuned settings of sizing earn on later rows, and whether they change where nothing can be earned.

For every world a model is trained by the stages behind `nightshift learn`, and its out-of-sample forecasts are traded twice: by the
settings of params.yaml, and fold by fold by those that `pipelines.execution.sizing` chose on earlier rows. Both accounts are judged
from the second fold on, the first that has earlier rows. Run with `python -m benchmarks.execution.sizing [--none 20] [--each 6]`.
Every world is a row of sizing.csv, written as soon as it is known: a second run goes on where the first was stopped.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from scipy import stats

from benchmarks.models.real import DATA, FILES
from benchmarks.promotion.edge import with_edge
from domain import params as parameters
from domain.clock import SystemClock
from domain.panel import FloatArray
from domain.params import Params
from flows import home as homes
from flows import learn, stages
from flows.home import Home
from flows.stages import Job
from models import metrics
from pipelines.data import imports, ingest, materialize
from pipelines.execution import simulate, sizing
from pipelines.execution.outcome import Outcome
from pipelines.execution.sizing import Sized
from pipelines.model import training
from pipelines.store import Store

HERE = Path(__file__).parent
KEPT, TABLE = HERE / "sizing.csv", HERE / "sizing.md"
#: The first seed of a kind of world, far from those that anything was chosen by.
FIRST = 9000
#: Edge of the simulated markets; 1 is that of `make demo`'s days, 0.5 that of its hours.
EDGES = {"sim_equity": 1.0, "sim_crypto": 0.5}
REAL = "crypto"
#: Folds that are judged: all but the first, which has no earlier rows.
FOLDS_LATER = 3
TITLES = ("market", "edge", "worlds", "changed", "folds", "search, s")
FIGURES = {"sharpe": "{:.2f}", "earned": "{:.2%}", "volatility": "{:.2%}"}


@dataclass(frozen=True)
class World:
    """Where forecasts come from."""

    market: str
    edge: str
    """Of a simulated market; 'real' for a recorded one."""
    seed: int


@dataclass(frozen=True)
class Row:
    """What came of one world; figures are yearly, net of cost, of the rows from the second fold on."""

    market: str
    edge: str
    seed: int
    bars: int
    folds_changed: int
    """Folds, of those with earlier rows, that were traded by other settings than params.yaml's."""
    chosen: str
    """The settings to go on with: edge_sigma_full, band, rate."""
    sharpe: float
    sharpe_tuned: float
    sharpe_se: float
    earned: float
    earned_tuned: float
    volatility: float
    volatility_tuned: float
    seconds: float
    """That the search took."""


def prepared(world: World, home: Home) -> Params:
    """Bring the world's bars into a store and return its parameters."""
    params = parameters.load(homes.parameters(), world.market)
    market = params.market(world.market)
    if world.edge == "real":
        imports.bring(DATA / f"{FILES[world.market]}.parquet", market, params, Store(home.store), home.docs / world.market)
        return params
    params = with_edge(params, float(world.edge), world.seed)
    ingest.from_source(market, params, Store(home.store), None, None)
    return params


def measured(world: World, place: Path) -> Row:
    """Train on a world and trade its forecasts by both settings."""
    home = Home(place / "home")
    params = prepared(world, home)
    job = Job(place / "job", home, params.market(world.market), params)
    stages.run(job, skip=learn.JUDGING)
    dataset, forecasts = stages.load_dataset(job), stages.load_forecasts(job)
    panel = materialize.load_panel(job.at("snapshot"))
    panel = panel.rows(panel.bars - dataset.bars, panel.bars)
    folds = training.split(dataset, params, job.market)
    clock = SystemClock()
    began = clock.monotonic_ns()
    found = sizing.search(panel, forecasts, job.market, params, folds, dataset.scale)
    seconds = (clock.monotonic_ns() - began) / 1e9
    since = panel.event_at[folds[0].test[0]]
    default, tuned = (
        simulate.run(panel, forecasts, job.market, params, model_version="1", since=since, scale=dataset.scale, sized=turns)
        for turns in ((), found.turns)
    )
    return _row(world, panel.bars, params, found, _later(default, found), _later(tuned, found), seconds)


def _later(outcome: Outcome, found: Sized) -> FloatArray:
    """Return the net returns from the second fold on."""
    earned: FloatArray = np.diff(outcome.equity, prepend=outcome.capital) / np.append(outcome.capital, outcome.equity[:-1])
    return earned[found.turns[1][0] - found.turns[0][0] :]


def _row(world: World, bars: int, params: Params, found: Sized, default: FloatArray, tuned: FloatArray, seconds: float) -> Row:
    year, own = params.market(world.market).bars_a_year, params.decisions.sizing
    chosen = found.chosen or own
    return Row(
        **asdict(world),
        bars=bars,
        folds_changed=sum(each != own for _, each in found.turns[1:]),
        chosen=" ".join(f"{value:g}" for value in chosen.model_dump().values()) if found.chosen else "",
        sharpe=round(metrics.sharpe(default, year), 4),
        sharpe_tuned=round(metrics.sharpe(tuned, year), 4),
        sharpe_se=round(metrics.sharpe_se(default, year), 4),
        earned=round(float(default.mean()) * year, 5),
        earned_tuned=round(float(tuned.mean()) * year, 5),
        volatility=round(float(default.std()) * year**0.5, 5),
        volatility_tuned=round(float(tuned.std()) * year**0.5, 5),
        seconds=round(seconds, 2),
    )


def worlds(none: int, each: int) -> Iterator[World]:
    """Yield every world that is asked for."""
    yield World(REAL, "real", 0)
    yield from (World(market, f"{edge:g}", FIRST + k) for k in range(each) for market, edge in EDGES.items())
    yield from (World("sim_equity", "0", FIRST + 100 + k) for k in range(none))


def known() -> list[Row]:
    """Return the rows that are written already."""
    if not KEPT.exists():
        return []
    with KEPT.open(encoding="utf-8", newline="") as rows:
        return [Row(**{field.name: _typed(field.type, told[field.name]) for field in fields(Row)}) for told in csv.DictReader(rows)]


def _typed(kind: object, told: str) -> object:
    return kind(told) if callable(kind) else told


def write(rows: list[Row]) -> None:
    """Write the table: a line a kind of world."""
    titles = [*TITLES, *(f"{name}, {which}" for name in FIGURES for which in ("default", "tuned")), "Sharpe gain", "earned gain, %"]
    kinds = sorted({(row.market, row.edge) for row in rows})
    lines = ["# Settings of sizing tuned on earlier rows, traded on later ones", ""]
    lines += [
        "`python -m benchmarks.execution.sizing`; every world is a row of sizing.csv. Figures are means over worlds, yearly, net"
    ]
    lines += [
        "of all costs, from the second of four folds on. `changed` are the worlds that went on with settings of their own, `folds`"
    ]
    lines += ["the share of folds traded by such. Gains are those of tuning, with their standard errors over worlds.", ""]
    lines += ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    lines += [_line([row for row in rows if (row.market, row.edge) == kind]) for kind in kinds]
    TABLE.write_text("\n".join([*lines, "", *_luck(rows)]) + "\n", encoding="utf-8")


def _line(rows: list[Row]) -> str:
    changed, folds = sum(bool(row.chosen) for row in rows), mean(row.folds_changed for row in rows) / FOLDS_LATER
    cells = [rows[0].market, rows[0].edge, str(len(rows)), f"{changed}", f"{folds:.2f}", f"{mean(row.seconds for row in rows):.1f}"]
    for name, shown in FIGURES.items():
        cells += [shown.format(mean(getattr(row, each) for row in rows)) for each in (name, f"{name}_tuned")]
    cells.append(_gain([row.sharpe_tuned - row.sharpe for row in rows]))
    cells.append(_gain([100.0 * (row.earned_tuned - row.earned) for row in rows]))
    return "| " + " | ".join(cells) + " |"


def _gain(gains: list[float]) -> str:
    told = f"{mean(gains):+.2f}"
    return f"{told} ± {stdev(gains) / len(gains) ** 0.5:.2f}" if len(gains) > 1 else told


def _luck(rows: list[Row]) -> list[str]:
    """Return how often settings changed where there was no edge, with the exact 95% interval (Clopper and Pearson 1934)."""
    none = [row for row in rows if row.edge == "0"]
    if not none:
        return []
    count = sum(bool(row.chosen) or row.folds_changed > 0 for row in none)
    found = stats.binomtest(count, len(none)).proportion_ci(method="exact")
    return [
        f"Without an edge {count} of {len(none)} worlds changed a setting, in any fold or at the end:",
        f"the exact 95% interval of that share is {found.low:.3f} to {found.high:.3f}.",
    ]


def main() -> None:
    """Measure what is not yet known and write the table."""
    parser = argparse.ArgumentParser(description="Compare tuned settings of sizing with those of params.yaml on later rows.")
    parser.add_argument("--none", type=int, default=20, help="worlds without an edge")
    parser.add_argument("--each", type=int, default=6, help="worlds with an edge, a market")
    asked = parser.parse_args()
    homes.quiet()
    done = {World(row.market, row.edge, row.seed) for row in known()}
    for world in worlds(asked.none, asked.each):
        if world in done:
            continue
        with tempfile.TemporaryDirectory() as place:
            row = measured(world, Path(place))
        fresh = not KEPT.exists()
        with KEPT.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow(asdict(row))
    write(known())


if __name__ == "__main__":
    main()
