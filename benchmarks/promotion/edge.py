"""Promote nothing where nothing can be known, and find what was planted: the whole path on simulated markets, end to end.

For every seed a market is made, its settings searched, a model trained and judged, by the functions behind `nightshift learn`. Run
with `python -m benchmarks.promotion.edge [--market sim_equity] [--none 200] [--each 34] [--processes 2]`. Every world's answer is
a row of the .csv beside the tables, written as soon as it is known: a second run goes on where the first was stopped.
"""

import argparse
import csv
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scipy import stats

from domain import params as parameters
from domain.params import Params
from flows import home as homes
from flows import learn
from flows.home import Home

HERE = Path(__file__).parent
#: The edge of `make demo`'s market of days is 1.
EDGES = {"none": 0.0, "weak": 0.25, "middling": 0.5, "strong": 1.0}
FIRST = 5000
SHOWN = ("rank_ic_t", "baseline_t", "sharpe_probability", "coverage_error", "pinball_skill", "trades")


def with_edge(params: Params, edge: float, seed: int, trials: int = 0) -> Params:
    """Return parameters whose simulated market has another edge and seed, and a search of `trials`; training keeps its own seed."""
    simulated = params.sources.simulated.model_copy(update={"edge": edge, "seed": seed})
    search = params.training.search.model_copy(update={"trials": trials})
    return params.model_copy(
        update={
            "sources": params.sources.model_copy(update={"simulated": simulated}),
            "training": params.training.model_copy(update={"search": search}),
        }
    )


def judged(world: tuple[str, int], market: str, trials: int) -> dict[str, Any]:
    """Return what the gates said of one world, named by its edge and seed."""
    name, seed = world
    homes.quiet()
    params = parameters.load(homes.parameters(), market)
    with tempfile.TemporaryDirectory() as place:
        told = learn.night(market, None, Home(Path(place)), with_edge(params, EDGES[name], seed, trials))
    found = {gate["name"]: gate["found"] for gate in told["gates"]}
    refused = [gate["name"] for gate in told["gates"] if not gate["passed"]]
    return {"edge": name, "seed": seed, "promoted": told["promoted"], "refused_by": " ".join(refused)} | {
        key: found[key] for key in SHOWN
    }


def worlds(none: int, each: int) -> list[tuple[str, int]]:
    """Return every world that is asked for; no two share a seed."""
    counts = {name: none if name == "none" else each for name in EDGES}
    return [(name, FIRST + 1000 * place + k) for place, (name, count) in enumerate(counts.items()) for k in range(count)]


def known(kept: Path) -> list[dict[str, str]]:
    """Return the rows that are written already."""
    with kept.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def measure(asked: list[tuple[str, int]], market: str, trials: int, processes: int) -> Iterator[dict[str, Any]]:
    """Yield a row a world, as they come."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        begun = [pool.submit(judged, world, market, trials) for world in asked]
        for done in as_completed(begun):
            yield done.result()


def write(market: str, trials: int, rows: list[dict[str, str]]) -> None:
    """Write how many were promoted and by what the others were refused."""
    command = f"python -m benchmarks.promotion.edge --market {market}"
    lines = [f"# Can the gates tell an edge from luck? {market}", ""]
    lines += [f"`{command}`: worlds of their own seeds, each through a search of {trials} trials, training, replay and gates;"]
    lines += [f"low and high are the exact 95% interval (Clopper and Pearson 1934). Every world is a row of {market}.csv.", ""]
    lines += ["| edge | worlds | promoted | share | low | high | refused by |", "|---|---:|---:|---:|---:|---:|---|"]
    lines += [_line(name, [row for row in rows if row["edge"] == name]) for name in EDGES]
    (HERE / f"{market}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(name: str, rows: list[dict[str, str]]) -> str:
    if not rows:
        return f"| {name} | 0 | | | | | |"
    count = sum(row["promoted"] == "True" for row in rows)
    found = stats.binomtest(count, len(rows)).proportion_ci(method="exact")
    refused = Counter(gate for row in rows for gate in row["refused_by"].split())
    why = ", ".join(f"{gate} {times}" for gate, times in refused.most_common())
    return f"| {name} | {len(rows)} | {count} | {count / len(rows):.3f} | {found.low:.3f} | {found.high:.3f} | {why} |"


def main() -> None:
    """Measure what is not yet known and write the table."""
    parser = argparse.ArgumentParser(description="Count promotions without an edge, and with edges of three strengths.")
    parser.add_argument("--market", default="sim_equity")
    parser.add_argument("--none", type=int, default=200, help="worlds without an edge")
    parser.add_argument("--each", type=int, default=34, help="worlds of each strength")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="ask every world again")
    asked = parser.parse_args()
    kept = HERE / f"{asked.market}.csv"
    if asked.fresh or not kept.exists():
        kept.write_text(",".join(("edge", "seed", "promoted", "refused_by", *SHOWN)) + "\n", encoding="utf-8")
    done = {(row["edge"], int(row["seed"])) for row in known(kept)}
    left = [world for world in worlds(asked.none, asked.each) if world not in done]
    for row in measure(left, asked.market, asked.trials, asked.processes):
        with kept.open("a", encoding="utf-8", newline="") as rows:
            csv.DictWriter(rows, list(row)).writerow(row)
    write(asked.market, asked.trials, known(kept))


if __name__ == "__main__":
    main()
