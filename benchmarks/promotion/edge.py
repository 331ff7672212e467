"""Promote nothing where nothing can be known, and find what was planted: the whole path on simulated markets, end to end.

For every seed a market is made, learned from nothing and judged, by the functions behind `nightshift learn`. Run with
`python -m benchmarks.promotion.edge [--markets sim_equity,sim_crypto] [--seeds 20] [--first 1000]`; the tables lie beside it.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domain import params as parameters
from domain.clock import SystemClock
from domain.params import Params
from flows import home as homes
from flows import learn
from flows.home import Home

HERE = Path(__file__).parent
EDGES = {"no edge": 0.0, "planted edge": 1.0}
SHOWN = ("rank_ic_t", "baseline_t", "sharpe_probability", "coverage_error", "pinball_skill", "trades")


def with_edge(params: Params, edge: float, seed: int) -> Params:
    """Return parameters whose simulated market has another edge and seed; training keeps its own seed."""
    simulated = params.sources.simulated.model_copy(update={"edge": edge, "seed": seed})
    return params.model_copy(update={"sources": params.sources.model_copy(update={"simulated": simulated})})


def measure(market: str, seeds: range) -> Iterator[dict[str, Any]]:
    """Yield what the gates said of each world, one row a world."""
    params = parameters.load(homes.parameters(), market)
    for name, edge in EDGES.items():
        for seed in seeds:
            with tempfile.TemporaryDirectory() as place:
                told = learn.night(market, None, Home(Path(place)), with_edge(params, edge, seed))
            found = {gate["name"]: gate["found"] for gate in told["gates"]}
            refused = [gate["name"] for gate in told["gates"] if not gate["passed"]]
            row = {"edge": name, "seed": seed, "promoted": told["promoted"], "refused by": ", ".join(refused)}
            yield row | {key: found[key] for key in SHOWN}


def write(market: str, rows: list[dict[str, Any]], minutes: float) -> None:
    """Write the counts and every row of one market."""
    command = f"python -m benchmarks.promotion.edge --markets {market}"
    lines = [f"# Can the gates tell an edge from luck? {market}", "", f"`{command}`, {minutes:.0f} minutes.", ""]
    lines += ["| | promoted | of |", "|---|---:|---:|"]
    for edge in EDGES:
        chosen = [row for row in rows if row["edge"] == edge]
        lines.append(f"| {edge} | {sum(row['promoted'] for row in chosen)} | {len(chosen)} |")
    lines += ["", "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        lines.append("| " + " | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()) + " |")
    (HERE / f"{market}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description="Count promotions with and without an edge.")
    parser.add_argument("--markets", default="sim_equity,sim_crypto")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    asked = parser.parse_args()
    homes.quiet()
    clock = SystemClock()
    for market in asked.markets.split(","):
        began, rows = clock.monotonic_ns(), []
        for row in measure(market, range(asked.first, asked.first + asked.seeds)):
            rows.append(row)
            print(market, row, flush=True)
        write(market, rows, (clock.monotonic_ns() - began) / 6e10)


if __name__ == "__main__":
    main()
