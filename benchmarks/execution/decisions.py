"""What the decision layer saves: the same out-of-sample forecasts traded naively, with each ingredient alone, and as shipped.

Trees are trained once a market, walk-forward, by the stages behind `nightshift learn`; every figure is of rows that their models
had not seen. The naive book holds the forecasts' ranks, long the upper half and short the lower, and trades all the way to them at
every bar's next open. Every other book but the tuned one is scaled to the average gross exposure of the shipped one, so that money
can be compared; the gate cuts only what is shipped. Run with `python -m benchmarks.execution.decisions`.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.execution import books, reference
from benchmarks.execution.books import Account, Way, World
from benchmarks.execution.tables import head, line, ratio
from benchmarks.models.real import DATA
from benchmarks.promotion.edge import with_edge
from domain import params as parameters
from domain.clock import SystemClock
from domain.forecast import MEDIAN
from domain.panel import FloatArray
from domain.params import Params, Sizing
from flows import home as homes
from flows import learn, stages
from flows.home import Home
from flows.stages import Job
from models import metrics
from pipelines.data import imports, ingest, materialize
from pipelines.execution import simulate, sizing
from pipelines.execution.decisions import SIGMA_OF_SPREAD
from pipelines.model import training
from pipelines.store import Store

HERE = Path(__file__)
TABLE, PICTURE = HERE.with_suffix(".md"), HERE.parents[2] / "docs" / "pictures" / "decisions.png"
#: Recorded files, the market that each is traded as, and the impact under which capacity is told.
LONG = "equities_daily_long"
RECORDED = {"crypto_1h": "crypto", "equities_daily_sp500": "us_equity", LONG: "us_equity"}
#: Simulated markets and their edge: thresholds of confidence are tried there as well. Seeds are those of sizing's benchmark.
SIMULATED = {"sim_equity": 1.0, "sim_crypto": 0.5}
SEEDS = range(9000, 9004)
#: 10 bp one way, whatever the size.
FLAT = {"fee_bps": 10.0, "spread_bps": 0.0, "slippage_bps": 0.0, "impact": 0.0}
#: What it costs a year to be short of a coin: funding, as params.yaml says of sim_crypto.
FUNDING = {"borrow_bps_year": 1000.0}
#: Least size of a forecast, in its own volatilities over the horizon, below which nothing is held.
THRESHOLDS = (0.0, 0.025, 0.05, 0.1, 0.15)
CAPITALS = (1e5, 1e6, 1e7, 1e8, 1e9)
IMPACT = 0.5
NAIVE, SHIPPED, TUNED = "naive", "as shipped", "as tuned on earlier rows"
DRAWN = (NAIVE, "naive + convictions", "naive + risk sizing", "naive + band", "naive + rate", SHIPPED)

OPENING = """# What the decision layer saves

`python -m benchmarks.execution.decisions`, {minutes:.0f} minutes. {measured} books are told of below, each on
rows that its models had not seen. Choices that were tried on the same rows before are in LOG.md. Money is % of equity a year.
`saved` is what a book pays less than the naive one would at its gross exposure. Sharpe ratios are yearly, with half of their 95%
intervals (Mertens 2002); p is that a book's net return is no better than the naive one's (paired, HAC). The naive book holds ranks,
from -1 to 1, or from 0 to 1 where none can be short, and trades to them at every bar; `all` is convictions, risk sizing, band and
rate together; `tuned` is traded, fold by fold, by settings that `pipelines.execution.sizing` chose on earlier rows.
equities_daily_long are names that were still there in 2017, which flatters what is held long more than a difference of longs and
shorts.
"""
RISK = """## How the risk of the aimed book is told

Deviation of its next bar's return in units of what was claimed: 1 is right, 2 is twice the risk that was claimed.
"""
CONFIDENCE = """## Thresholds of confidence

Net Sharpe ratios as shipped, and with nothing held where the forecast is smaller than so many of its own volatilities: what is left
of it without the row's average, then the median itself. `nightly` takes each fold's threshold by the rule by which the night shift
takes sizes, on earlier rows.
"""


@dataclass(frozen=True)
class Case:
    """A world under one model of costs."""

    name: str
    world: World
    shown: bool = False
    """Whether it is drawn, and its capacity and skfolio's sizes are told."""


def world(market: str, params: Params, place: Path) -> World:
    """Train on the bars that a home's store holds and return the world."""
    job = Job(place / "job", Home(place / "home"), params.market(market), params)
    stages.run(job, skip=learn.JUDGING)
    dataset, forecasts = stages.load_dataset(job), stages.load_forecasts(job)
    panel = materialize.load_panel(job.at("snapshot"))
    panel = panel.rows(panel.bars - dataset.bars, panel.bars)
    folds = tuple(training.split(dataset, params, job.market))
    return World(job.market, params, panel, forecasts, dataset.scale, dataset.forward, folds)


def recorded(file: str, place: Path) -> World:
    """Bring a recorded file into a store of its own and train on it."""
    market, home = RECORDED[file], Home(place / "home")
    params = parameters.load(homes.parameters(), market)
    imports.bring(DATA / f"{file}.parquet", params.market(market), params, Store(home.store), home.docs / market)
    return world(market, params, place)


def simulated(market: str, seed: int, place: Path) -> World:
    """Simulate a market with an edge and train on it."""
    params = with_edge(parameters.load(homes.parameters(), market), SIMULATED[market], seed)
    ingest.from_source(params.market(market), params, Store(Home(place / "home").store), None, None)
    return world(market, params, place)


def cases(file: str, here: World) -> list[Case]:
    """Return a recorded world by the costs of params.yaml, at 10 bp one way, and with shorts where there are none."""
    shortable = here.market.instrument.shortable
    found = [Case(f"{file}, costs of params.yaml", here, shown=shortable), Case(f"{file}, 10 bp one way", here.at(**FLAT))]
    if not shortable:
        short = here.market.instrument.model_copy(update={"shortable": True})
        both = replace(here, market=replace(here.market, instrument=short))
        found.append(Case(f"{file}, sold short as well, 10 bp one way", both.at(**FLAT, **FUNDING), shown=True))
    return found


def shipped(here: World, sized: Sequence[tuple[int, Sizing]] = ()) -> Account:
    """Trade by the trader's own loop, gate and all."""
    since = here.panel.event_at[here.first]
    outcome = simulate.run(
        here.panel, here.forecasts, here.market, here.params, model_version="", since=since, scale=here.scale, sized=sized
    )
    return books.of_outcome(outcome)


def ways(here: World) -> dict[str, Account]:
    """Return every book of the first table, the naive one first."""
    house, free = shipped(here), here.free
    gross = float(house.gross.mean())
    at_once, all_the_way, any_gain = free.decided(band=0.0, rate=1.0), free.decided(rate=1.0), free.decided(band=0.0)
    ranks, (views, sigma), (unfiltered, _) = books.ranks(free), books.convictions(free), books.convictions(any_gain)
    equal = books.equal_notional(ranks)
    naive, sized_ranks = Way(ranks, equal, sigma), Way(ranks, books.sized(free, ranks).full, sigma)
    viewed, layer = Way(views, equal, sigma), Way(views, books.sized(free, views).full, sigma)
    bandless = Way(unfiltered, books.sized(free, unfiltered).full, sigma)
    found = {
        NAIVE: (at_once, naive),
        "naive + convictions": (at_once, viewed),
        "naive + risk sizing": (at_once, sized_ranks),
        "naive + band": (all_the_way, naive),
        "naive + rate": (any_gain, naive),
        "naive + band + rate": (free, naive),
        "all but convictions": (free, sized_ranks),
        "all but risk sizing": (free, viewed),
        "all but band": (any_gain, bandless),
        "all but rate": (all_the_way, layer),
        "all, no gate": (free, layer),
    }
    tuned = sizing.search(here.panel, here.forecasts, here.market, here.params, here.folds, here.scale).turns
    accounts = {name: books.fitted(there, way, gross) for name, (there, way) in found.items()}
    checked(here, house)
    return accounts | {SHIPPED: house, TUNED: shipped(here, tuned)}


def checked(here: World, house: Account) -> None:
    """Raise where the books of this benchmark are not the trader's own, to the bit."""
    aim, sigma = books.convictions(here)
    ours = books.trade(here, Way(aim, books.sized(here, aim).full, sigma), gated=True)
    if not np.array_equal(ours.net, house.net):
        raise AssertionError(
            "a book with every ingredient and the gate is not the simulation's: the table would compare two layers"
        )


def saved(account: Account, naive: Account) -> float:
    """Return what a book pays less a year than the naive one would at its gross exposure, a fraction of equity."""
    return float(naive.cost.mean() * account.gross.mean() / naive.gross.mean() - account.cost.mean())


def told(here: World, accounts: dict[str, Account]) -> list[str]:
    """Return the first table of a case."""
    year, naive = here.market.bars_a_year, accounts[NAIVE]
    lines = head("book", "gross exposure", "turnover a year", "before costs, %", "costs, %", "net, %", "saved, %",
                 "Sharpe before costs", "net Sharpe", "p")  # fmt: skip
    for name, each in accounts.items():
        p = metrics.paired_p(each.net, naive.net, metrics.OVERLAP_LAGS * here.market.horizon)
        yearly = (each.before.mean(), each.cost.mean(), each.net.mean(), saved(each, naive))
        lines.append(
            line(name, f"{each.gross.mean():.3f}", f"{each.traded.mean() * year:.1f}", *(f"{100 * year * x:.2f}" for x in yearly),
                 ratio(each.before, year), ratio(each.net, year), "" if name == NAIVE else f"{p:.2g}")
        )  # fmt: skip
    return lines


def forecasts(file: str, here: World) -> str:
    """Return the line of a world in the table of what forecasts are worth."""
    median = here.forecasts[..., MEDIAN]
    plain, ranked = metrics.ic(median, here.forward), metrics.rank_ic(median, here.forward)
    return line(file, str(len(here.panel.symbols)), str(here.panel.bars - here.first), f"{metrics.mean(plain):.4f}",
                f"{metrics.mean(ranked):.4f}", f"{metrics.overlap_t(ranked, here.market.horizon):.1f}")  # fmt: skip


def risk_told(case: Case) -> str:
    """Return how the risk of the aimed book was told: deviations of its returns in units of what was claimed."""
    known = reference.Case.of(case.world)
    earned, claimed = known.earned(known.way.aim), known.claimed()
    own = claimed * np.sqrt(np.maximum(known.sized.bias, 1.0))
    told = (reference.bias(earned, each) for each in (claimed, own, known.claimed_by_pairs()))
    return line(case.name, *(f"{each:.2f}" for each in told))


def confident(here: World, threshold: float, *, shared: bool) -> Account:
    """Trade as shipped, but hold nothing where the forecast is small against its spread.

    What is small is the median itself, or with `shared` what is left of it without the row's average.
    """
    aim, sigma = books.convictions(here)
    size = np.abs(aim) * here.params.decisions.edge_sigma_full
    if not shared:
        spread = (here.forecasts[..., -1] - here.forecasts[..., 0]) * SIGMA_OF_SPREAD
        size = np.abs(here.forecasts[..., MEDIAN]) / spread
    aim = np.where(size < threshold, 0.0 * aim, aim)
    return books.trade(here, Way(aim, books.sized(here, aim).full, sigma), gated=True)


def thresholds(case: Case) -> str:
    """Return net Sharpe ratios by threshold, and of the one that a night would have chosen on earlier rows."""
    here, year = case.world, case.world.market.bars_a_year
    tried = [confident(here, THRESHOLDS[0], shared=True)]
    tried += [confident(here, each, shared=shared) for shared in (True, False) for each in THRESHOLDS[1:]]
    earned = np.full((here.panel.bars, len(tried)), np.nan)
    earned[here.first :] = np.column_stack([each.net for each in tried])
    picks = [chosen(earned[fold.train], here) for fold in here.folds]
    stretches = [slice(int(fold.test[0]) - here.first, int(fold.test[-1]) + 1 - here.first) for fold in here.folds]
    nightly = books.joined([tried[pick] for pick in picks], stretches)
    return line(case.name, *(f"{metrics.sharpe(each.net, year):.2f}" for each in (*tried, nightly)), str(sum(p > 0 for p in picks)))


def chosen(earned: FloatArray, here: World) -> int:
    """Return the place of the column that the night shift's rule for sizes would choose; 0 is what is shipped."""
    places = range(earned.shape[1])
    judged = sizing.judge(earned, places, here.market, here.params)  # type: ignore[arg-type]
    return int(sizing.best(judged, here.params.learning.sizing.p_max)) if judged else 0  # type: ignore[call-overload]


def capacities(case: Case) -> list[str]:
    """Return the table of what is left as capital grows; the limit of an order's size grows with it."""
    lines = head("capital", *(f"{which}, {what}" for which in ("shipped", "naive")
                               for what in ("gross", "costs, %", "net, %", "net Sharpe")))  # fmt: skip
    largest, own, year = case.world.params.risk.order_notional_max, case.world.params.fills.capital, case.world.market.bars_a_year
    exposure = float(shipped(case.world).gross.mean())
    for capital in CAPITALS:
        here = case.world.limited(order_notional_max=largest * capital / own)
        here = replace(
            here, params=here.params.model_copy(update={"fills": here.params.fills.model_copy(update={"capital": capital})})
        )
        ranks, (_, sigma) = books.ranks(here), books.convictions(here)
        naive = books.fitted(here.free.decided(band=0.0, rate=1.0), Way(ranks, books.equal_notional(ranks), sigma), exposure)
        shown = [
            (f"{each.gross.mean():.3f}", f"{100 * year * each.cost.mean():.2f}", f"{100 * year * each.net.mean():.2f}",
             f"{metrics.sharpe(each.net, year):.2f}")
            for each in (shipped(here), naive)
        ]  # fmt: skip
        lines.append(line(f"{capital:,.0f}", *shown[0], *shown[1]))
    return lines


def draw(curves: dict[str, dict[str, FloatArray]]) -> None:
    """Draw what the books of some cases earned, bar by bar, after costs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, books_of) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        for way, net in books_of.items():
            axes.plot(100 * np.cumsum(net), label=way, linewidth=2 if way in (NAIVE, SHIPPED) else 1)
        axes.set(xlabel="bars out of sample", ylabel="net of costs, % of equity")
        axes.set_title(name, fontsize="small")
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})


def worlds() -> Iterator[tuple[str, World]]:
    """Yield every world, trained on in a throwaway home."""
    for file in RECORDED:
        with tempfile.TemporaryDirectory() as place:
            yield file, recorded(file, Path(place))
    for market in SIMULATED:
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as place:
                yield f"{market}, seed {seed}", simulated(market, seed, Path(place))


@dataclass
class Page:
    """The page, as far as it is known."""

    worth: list[str] = field(default_factory=list)
    risk: list[str] = field(default_factory=list)
    confidence: list[str] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)
    curves: dict[str, dict[str, FloatArray]] = field(default_factory=dict)
    measured: int = 0
    """Books whose figures are told."""

    def recorded(self, file: str, here: World, *, skfolio: bool) -> None:
        """Measure a recorded world."""
        self.worth.append(forecasts(file, here))
        for case in cases(file, here):
            accounts = ways(case.world)
            self.section(case.name, told(case.world, accounts), len(accounts))
            self.judged(case)
            if case.shown:
                self.curves[case.name] = {name: accounts[name].net for name in DRAWN}
                impact = Case(f"{case.name}, impact {IMPACT}", case.world.at(impact=IMPACT))
                self.section(f"{impact.name}: capacity", capacities(impact), 2 * len(CAPITALS))
            if case.shown and skfolio:
                rows = reference.rows(case.world)
                self.section(f"{case.name}: sizes by skfolio", reference.told(rows, case.world), len(rows) - 1)
            print("\n".join([*self.worth, *self.risk, *self.confidence, *self.sections]), flush=True)

    def simulated(self, name: str, here: World) -> None:
        """Measure a simulated world."""
        self.worth.append(forecasts(name, here))
        self.judged(Case(name, here))

    def judged(self, case: Case) -> None:
        """Measure what is told of every case in one table."""
        self.risk.append(risk_told(case))
        self.confidence.append(thresholds(case))
        self.measured += 2 * (len(THRESHOLDS) - 1) + 1

    def section(self, title: str, lines: list[str], count: int) -> None:
        """Add a table of `count` books."""
        self.sections += [f"## {title}", "", *lines, ""]
        self.measured += count

    def write(self, minutes: float) -> None:
        """Write the page and the picture."""
        limits = [f"{each:g}" for each in THRESHOLDS[1:]]
        parts = [
            OPENING.format(measured=self.measured, minutes=minutes),
            *head("forecasts", "symbols", "bars", "IC", "rank IC", "t"), *self.worth, "", *self.sections,
            RISK, *head("case", "one correlation", "and own bias (shipped)", "shrunk pairs"), *self.risk, "",
            CONFIDENCE, *head("case", "shipped", *limits, *(f"median {each}" for each in limits), "nightly", "folds changed"),
            *self.confidence,
        ]  # fmt: skip
        TABLE.write_text("\n".join(parts) + "\n", encoding="utf-8")
        draw(self.curves)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Compare naive trading with the decision layer.")
    parser.add_argument("--no-skfolio", action="store_true", help="leave the optimisers out, which take most of the time")
    asked, clock, page = parser.parse_args(), SystemClock(), Page()
    homes.quiet()
    began = clock.monotonic_ns()
    for name, here in worlds():
        if name in RECORDED:
            page.recorded(name, here, skfolio=not asked.no_skfolio and name != LONG)
        else:
            page.simulated(name, here)
    page.write((clock.monotonic_ns() - began) / 6e10)


if __name__ == "__main__":
    main()
