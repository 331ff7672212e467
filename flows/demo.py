"""Demo: two simulated markets through the whole loop, from raw bars to a morning after.

Each market lives two days of many bars: a night shift learns, its champion trades on paper, a second night shift learns from that,
and whoever is champion then trades on. Nothing in it is special: these are the functions that every other command calls.
"""

import shutil
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from domain import params as parameters
from domain.clock import ReplayClock
from domain.error import NoChampion
from domain.panel import Panel
from domain.params import Params
from flows import home as homes
from flows import learn, material, prepare, report, screen, trade
from flows.home import Home
from flows.screen import Steps
from pipelines.data import materialize
from pipelines.execution import orders
from pipelines.execution.loop import Loop
from pipelines.execution.outcome import Outcome
from pipelines.registry import CHAMPION, Registry
from pipelines.store import Store

MARKETS = ("sim_equity", "sim_crypto")
#: Shares of history at which the two nights fall.
NIGHTS = (0.8, 0.9)
#: Steps of the progress bar: prepare, two nights, two days, report.
STEPS = 6
#: Figures of the closing table.
SHOWN = ("bars", "roi", "sharpe", "max_drawdown", "win_rate", "trades", "costs", "turnover")


@dataclass(frozen=True)
class Lived:
    """What one market came to."""

    market: str
    nights: list[dict[str, Any]]
    outcome: Outcome | None
    """None when no model ever passed its gates."""
    page: str | None


def run(home: Home, as_json: bool, keep: bool) -> None:
    """Run the demo in a home of its own, `demo` inside `home`, made anew unless `keep`."""
    place = Home(home.root / "demo")
    if not keep:
        shutil.rmtree(place.root, ignore_errors=True)
    with screen.steps(STEPS * len(MARKETS), quiet=as_json) as do:
        lived = [live(name, place, parameters.load(homes.parameters(), name), do.within(name)) for name in MARKETS]
    rows = [summary(each) for each in lived]
    if as_json:
        screen.say({"home": str(place.root), "markets": rows}, as_json)
        return
    reports = [row.pop("report") for row in rows]
    screen.beside("Raw bars to paper fills, and the nights between", rows)
    sys.stdout.writelines(f"read the report: {report}\n" for report in reports if report)
    sys.stdout.write(f"look at the runs: NIGHTSHIFT_HOME={_short(place.root)} make up\n")


def live(market: str, home: Home, params: Params, do: Steps) -> Lived:
    """Live through one market's two nights and two days."""
    do("sources, quality, store", prepare.prepare, market, None, home, params)
    panel = materialize.read(Store(home.store), params.market(market))
    nights, outcome, page = [], None, None
    cuts = [int(panel.bars * share) for share in NIGHTS]
    for cut, end in zip(cuts, [*cuts[1:], panel.bars], strict=True):
        last = _day(panel, cut)
        nights.append(do(f"night shift, {last}", learn.night, market, last, home, params))
        outcome = do(f"trading day, from {last}", traded, panel, last, end, home, params) or outcome
    if outcome is not None:
        page = do("report", write_report, panel, outcome, home, params)
    return Lived(market, nights, outcome, page)


def traded(panel: Panel, last: date, end: int, home: Home, params: Params) -> Outcome | None:
    """Let the champion live through the bars after day `last` up to row `end`; None when there is no champion."""
    market = params.market(panel.market)
    try:
        served = trade.champion(market, params, home, Registry(home.mlflow))
    except NoChampion:
        return None
    start = int(np.searchsorted(panel.event_at, np.datetime64(last, "us") + np.timedelta64(1, "D")))
    time = ReplayClock(orders.moment(panel.event_at[start]))
    with Loop(market, params, served, panel.symbols, home.account(market.name), time) as loop:
        start = start if loop.cursor is None else int(np.searchsorted(panel.event_at, loop.cursor, side="right"))
        loop.recover(panel.rows(0, start))
        for bar in panel.rows(start, end).each():
            time.advance(orders.moment(bar.event_at[0]))
            loop.on_bar(bar)
        return loop.outcome()


def write_report(panel: Panel, outcome: Outcome, home: Home, params: Params) -> str:
    """Write the market's page and return where it lies."""
    version = Registry(home.mlflow).version(panel.market, CHAMPION)
    page = report.write(material.of(home, params, version, panel, outcome), home.reports / f"{panel.market}.html")
    return str(page)


def summary(lived: Lived) -> dict[str, Any]:
    """Return one market's row of the closing table."""
    found = lived.outcome.metrics if lived.outcome is not None else {}
    row: dict[str, Any] = {"market": lived.market}
    for number, night in enumerate(lived.nights, start=1):
        verdict = f"version {night['version']} promoted" if night["promoted"] else "no promotion"
        row[f"night {number}"] = f"{night['action']}: {verdict}"
    row |= {"champion": lived.nights[-1]["champion"]}
    row |= {name: found.get(name) for name in SHOWN}
    return row | {"report": lived.page and _short(Path(lived.page))}


def _short(path: Path) -> str:
    """Return a path as seen from where the command runs, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _day(panel: Panel, row: int) -> date:
    """Return the last whole UTC day before a row's close."""
    day: date = (panel.event_at[row].astype("datetime64[D]") - np.timedelta64(1, "D")).astype(date)
    return day
