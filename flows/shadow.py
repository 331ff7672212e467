"""Shadow: the live record of a market's account, champion beside challenger."""

import math
from typing import Any

import numpy as np

from domain.panel import FloatArray
from domain.params import Params
from flows.home import Home
from models import metrics
from pipelines.execution import record, watch
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.record import LiveRecord
from pipelines.journal import Journal

Fact = dict[str, Any]


def shadow(market: str, home: Home, params: Params) -> Fact:
    """Return what the account's journal holds of its champion and of the challenger beside it, and the test of one by the other.

    `challenger_p` is the p value that the challenger's pinball loss is no smaller on the bars that both forecast, as at the gates.
    Raises NoData for a market that has never traded.
    """
    with Journal.read_only(home.account(params.market(market).name) / JOURNAL) as journal:
        live, facts = record.read(journal, market, params.serving)
        standing = {watch.CHAMPION: _newest(journal, "model"), watch.CHALLENGER: _newest(journal, watch.KIND)}
    scored = {role: [fact for fact in facts if fact["version"] == version] for role, version in standing.items()}
    rows = [_row(role, version, scored[role], live) for role, version in standing.items() if version is not None]
    return {"market": market, "versions": rows, **_paired(scored[watch.CHAMPION], scored[watch.CHALLENGER])}


def _newest(journal: Journal, kind: str) -> str | None:
    """Return the version that the newest record of a kind is about."""
    versions = [str(stored.payload["version"]) for stored in journal.records(kind)]
    return versions[-1] if versions else None


def _row(role: str, version: str, scored: list[Fact], live: LiveRecord) -> Fact:
    """Return the numbers of one version; what its bars do not tell yet is not a number."""
    series = {name: _series(scored, name) for name in ("loss", "reference", "rank_ic", "covered")}
    loss, reference = metrics.mean(series["loss"]), metrics.mean(series["reference"])
    horizon, evidence = int(scored[0]["horizon"]) if scored else 0, live.of(version)
    against = evidence.against if evidence is not None else dict.fromkeys(record.BOUNDS, 0.0)
    return {
        "role": role,
        "version": version,
        "bars": len(scored),
        "pinball": loss,
        "climatology": reference,
        "skill": metrics.skill(loss, reference),
        "rank_ic": metrics.mean(series["rank_ic"]),
        "rank_ic_t": metrics.overlap_t(series["rank_ic"], horizon),
        "covered": metrics.mean(series["covered"]),
        "promised": record.PROMISED,
        **{f"against_{name}": share for name, share in against.items()},
        "broken": evidence.broken if evidence is not None else None,
    }


def _series(scored: list[Fact], name: str) -> FloatArray:
    return np.array([math.nan if fact[name] is None else fact[name] for fact in scored], dtype=np.float64)


def _paired(champion: list[Fact], challenger: list[Fact]) -> Fact:
    """Compare two versions on the bars that both forecast."""
    losses = [{int(fact["bar"]): float(fact["loss"]) for fact in scored} for scored in (champion, challenger)]
    common = sorted(losses[0].keys() & losses[1].keys())
    first, second = (np.array([each[bar] for bar in common]) for each in losses)
    lags = max((int(fact["horizon"]) for fact in (*champion[:1], *challenger[:1])), default=0)
    return {"common_bars": len(common), "challenger_p": metrics.paired_p(first, second, lags)}
