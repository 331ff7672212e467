"""Audit: a look for leaks in what is stored of a market, before anyone believes a figure."""

from dataclasses import asdict
from datetime import date
from typing import Any

from domain.error import DataError
from domain.params import Params
from flows import retrain, stages
from flows.home import Home
from flows.stages import LOOKING, Do
from pipelines.model import audit as auditing


def refuse(told: dict[str, Any]) -> None:
    """Raise DataError when an audit found something."""
    if not told["passed"]:
        asked = f"market '{told['market']}' was audited with family '{told['family']}'"
        raise DataError(f"{asked}, and what is suspect is: {', '.join(told['suspects'])}; look at where it comes from")


def audit(market: str, name: str, until: date | None, home: Home, params: Params, do: Do = stages.direct) -> dict[str, Any]:
    """Audit the dataset of a market and how family `name` learns from it; return the findings as JSON values."""
    with retrain.opened(market, until, home, params) as job:
        stages.run(job, do, skip=[stage.name for stage in stages.STAGES if stage.name not in LOOKING])
        dataset = stages.load_dataset(job)
        found = do("audit", auditing.audit, dataset, params, job.market, name)
    return {
        "market": market,
        "family": name,
        "bars": dataset.bars,
        "symbols": len(dataset.symbols),
        "passed": found.passed,
        "suspects": list(found.suspects),
        "findings": [asdict(row) for row in found.rows],
        "markdown": found.markdown(),
    }
