"""`kill -9` at random moments of a night: `python -m benchmarks.promotion.night [--kills 20]`.

A home whose first night promoted a version lives through a second one, which has to train anew. Its process is killed at a time
drawn from its undisturbed length, and what works for it has to end by itself; then it is run once more. In between the champion
must load as the trader loads it, and in the end stand the model of the undisturbed night, recorded once, with nothing left begun.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import yaml

from domain import params as parameters
from domain.clock import SystemClock
from domain.params import Params
from flows import home as homes
from flows import shift, trade
from flows.home import Home
from pipelines.registry import Registry

MARKET, FIRST, SECOND, SEED = "sim_equity", "2016-12-01", "2017-08-01", 7
#: What these nights are about is not what the gates say.
LAID = {
    "registry": {"rank_ic_t_min": -99.0, "sharpe_probability_min": 0.0, "coverage_error_max": 1.0, "pinball_skill_min": -9.0}
    | {"baseline_t_min": -99.0, "drawdown_max": 1.0, "trades_min": 0, "challenger_p_max": 1.0},
    "learning": {"drifted_share_max": 1e-9, "psi_max": 1e-9},
    "training": {"families": ["trees", "sequence"], "sequence": {"epochs": 3}},
}


@dataclass(frozen=True)
class Killed:
    """One night that was killed and made up for."""

    step: str
    """Where it was."""
    served: bool
    """Whether the trader could load a champion in between."""
    same: bool
    """Whether the model in the end is the undisturbed one, and recorded once."""
    quiet: bool
    """Whether nothing was left begun, and nobody at work."""


def environment(place: Path, home: Path) -> dict[str, str]:
    """Return what the command line finds in its environment."""
    return {**os.environ, **homes.QUIET, "NIGHTSHIFT_HOME": str(home), "NIGHTSHIFT_PARAMETERS": str(place / "params.yaml")}


def begin(place: Path, home: Path, until: str) -> "subprocess.Popen[str]":
    """Start a night, with time enough, so that its stages run beside it as in a scheduled one."""
    command = [sys.executable, "-m", "flows.cli", "learn", "--market", MARKET, "--until", until, "--minutes", "60", "--json"]
    return subprocess.Popen(
        command, env=environment(place, home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def night(place: Path, home: Path, until: str) -> dict[str, Any]:
    """Live through a night undisturbed and return what it told."""
    said, _ = begin(place, home, until).communicate()
    return dict(json.loads(said))


def digest(told: dict[str, Any]) -> str:
    """Return the digest of the model that a night made."""
    return str(json.loads((Path(told["folder"]) / "ensemble" / "ensemble.json").read_text(encoding="utf-8"))["model_digest"])


def once(place: Path, home: Path, after_s: float, expected: str, params: Params) -> Killed:
    """Kill a night, look, live through it again, and look."""
    process = begin(place, home, SECOND)
    workers: list[psutil.Process] = []
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    note = shift.standing(Home(home), MARKET)
    served = trade.champion(params.market(MARKET), params, Home(home), Registry(Home(home).mlflow)).version in {"1", "2"}
    told = night(place, home, SECOND)
    versions = [version.number for version in Registry(Home(home).mlflow).versions(MARKET)]
    same = digest(told) == expected and versions == [1, 2] and told["champion"] == 2
    quiet = shift.standing(Home(home), MARKET) is None and not psutil.wait_procs(workers, 10.0)[1]
    return Killed((note.under_way or "between two steps") if note is not None else "before or after all steps", served, same, quiet)


def report(found: list[Killed], seconds: float) -> str:
    """Return the results as markdown."""
    where = ", ".join(f"{step} {times}" for step, times in Counter(each.step for each in found).most_common())
    rows = {
        "a champion that the trader loads stands in between": sum(each.served for each in found),
        "one more night ends with the undisturbed night's model, recorded once": sum(each.same for each in found),
        "nothing is left begun and nobody at work": sum(each.quiet for each in found),
    }
    lines = ["# A night killed with SIGKILL and run again", "", f"An undisturbed one took {seconds:.0f} s. Killed in: {where}.", ""]
    lines += [f"| | of {len(found)} |", "|---|---:|", *(f"| {name} | {count} |" for name, count in rows.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Kill, go on, compare, and write the results beside this file."""
    parser = argparse.ArgumentParser(description="Kill nights and run them again.")
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    homes.quiet()
    chance, clock = random.Random(SEED), SystemClock()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        raw = parameters.overlay(yaml.safe_load(homes.parameters().read_text(encoding="utf-8")), LAID) | {"profile": "tiny"}
        (place / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
        params = parameters.load(place / "params.yaml", MARKET)
        night(place, place / "first", FIRST)
        shutil.copytree(place / "first", place / "whole")
        began = clock.monotonic_ns()
        expected = digest(night(place, place / "whole", SECOND))
        seconds, found = (clock.monotonic_ns() - began) / 1e9, []
        for number in range(asked.kills):
            home = place / str(number)
            shutil.copytree(place / "first", home)
            found.append(once(place, home, chance.uniform(2.0, seconds), expected, params))
            print(found[-1], flush=True)
            Path(__file__).with_suffix(".md").write_text(report(found, seconds), encoding="utf-8")
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
