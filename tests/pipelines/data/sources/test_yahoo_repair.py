"""Repair of recorded defects through the genuine yfinance, against the repaired twins that were recorded with them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yfinance

from domain.clock import ReplayClock
from domain.params import Yahoo as Parameters
from pipelines.data.sources.yahoo import Yahoo, repair, rows
from pipelines.data.sources.yahoo.asking import Asking
from pipelines.data.sources.yahoo.line import Line
from pipelines.store import TABLES
from tests.pipelines.data.sources.chart_server import Exchange, serving
from tests.pipelines.data.sources.defects import DEFECTS, FOLDER, Defect

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"recorded defects of Yahoo are not in {FOLDER}")

#: The twins were written with some digits less.
TWIN = 5e-5
#: Dividends are no part of this twin: the library takes the gain out of the dividend of that day, the twin leaves it counted twice.
OTHERWISE = {("DODFX", "Dividends")}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Yield a stand-in that answers with all defects."""
    yfinance.set_tz_cache_location(str(tmp_path_factory.mktemp("zones")))
    with serving() as stand_in:
        for defect in DEFECTS:
            defect.serve(stand_in)
        yield stand_in


@pytest.fixture(scope="module")
def repaired(exchange: Exchange) -> Callable[[Defect], pl.DataFrame]:
    """Return what gives the rows that the source makes of a defect, as Yahoo adjusted them for splits; each is asked for once."""

    @cache
    def ask(defect: Defect) -> pl.DataFrame:
        asking = Asking(0, Line(0.0, after(defect), lambda _: None), exchange.client())
        told = asking.ask(defect.question(repair=True))
        assert told is not None
        return rows.build(told, defect.market, defect.symbol)

    return ask


def after(defect: Defect) -> ReplayClock:
    """Return a clock on the day after the last recorded row."""
    return ReplayClock(defect.recorded().index[-1].tz_convert("UTC").to_pydatetime() + timedelta(days=1))


def by_name(defect: Defect) -> str:
    """Return what the test is called after."""
    return defect.name


def beside(found: pl.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Return the recorded rows that were answered: of a day with trading before it opens only the regular hours."""
    return recorded if len(found) == len(recorded) else recorded.between_time("09:30", "16:00", inclusive="left")


@pytest.mark.parametrize("defect", DEFECTS, ids=by_name)
def test_a_recorded_defect_becomes_its_twin(defect: Defect, repaired: Callable[[Defect], pl.DataFrame]) -> None:
    """Every number that the house stores, and nothing changed where nothing was wrong."""
    found = repaired(defect)

    twin = beside(found, defect.twin())

    for ours, theirs in {**rows.BARS, **rows.ACTIONS}.items():
        if theirs in twin and (defect.symbol, theirs) not in OTHERWISE:
            np.testing.assert_allclose(found[ours].to_numpy(), twin[theirs].to_numpy(float), rtol=TWIN, atol=1e-9, err_msg=ours)


@pytest.mark.parametrize("defect", DEFECTS, ids=by_name)
def test_what_was_answered_is_kept_beside_every_repair(defect: Defect, repaired: Callable[[Defect], pl.DataFrame]) -> None:
    """Whoever doubts a repair can put it back; a row that was left alone is as it was to the last bit."""
    found = repaired(defect)

    told = beside(found, defect.recorded())
    touched = found["reason"].is_not_null().to_numpy()
    for ours, theirs in rows.BARS.items():
        assert np.array_equal(found[f"told_{ours}"].to_numpy()[touched], told[theirs].to_numpy(float)[touched])
        assert np.array_equal(found[ours].to_numpy()[~touched], told[theirs].to_numpy(float)[~touched])


@pytest.mark.parametrize("defect", [each for each in DEFECTS if each.what.startswith("no-")], ids=by_name)
def test_an_odd_but_true_row_is_left_alone(defect: Defect, repaired: Callable[[Defect], pl.DataFrame]) -> None:
    """A tiny dividend, and a fall before the market opened."""
    reasons = repaired(defect)["reason"]

    assert reasons.null_count() == len(reasons) > 100


@pytest.mark.parametrize(
    ("symbol", "rule"),
    [("AET.L", "unit"), ("ASAI.L", "unit"), ("4063.T", "split"), ("ALPHA.PA", "split"), ("LA.V", "split"),
     ("ABDP.L", "distribution"), ("DODFX", "distribution")],
)  # fmt: skip
def test_a_repair_names_its_rule(symbol: str, rule: str, repaired: Callable[[Defect], pl.DataFrame]) -> None:
    """In one sentence, with what was found and what is right."""
    defect = next(each for each in DEFECTS if each.symbol == symbol)

    reasons = repaired(defect)["reason"].drop_nulls()

    assert reasons.str.contains(rf"^repaired: {rule}: found .+; expected .+$").any()


def test_repairs_are_rows_of_the_quarantine(exchange: Exchange) -> None:
    """With the numbers as Yahoo answered them, while the bars have the right ones: the 100 times too small pounds of AET."""
    defect = DEFECTS[0]
    source = Yahoo(Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=True), exchange.client(), clock=after(defect))
    bars = source.bars(defect.market, None, None)

    repairs = source.repairs(defect.market, None, None)

    assert repairs.schema.items() <= TABLES["quarantine"].schema.items()
    assert repairs.height == 14
    assert repairs["close"].max() < 0.2
    assert bars["close"].min() > 10.0
    assert bars.join(repairs, on=["symbol", "opened_at"], how="semi").height == 14


def test_without_repair_bars_are_as_answered(exchange: Exchange) -> None:
    """For those who would rather repair themselves."""
    defect = DEFECTS[0]
    recorded = defect.recorded()
    source = Yahoo(Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=False), exchange.client(), clock=after(defect))

    bars = source.bars(defect.market, None, None)

    assert bars["close"].cast(pl.Float32).to_list() == recorded["Close"].astype("float32").tolist()
    assert source.repairs(defect.market, None, None).is_empty()


def columns(close: list[float], split: dict[int, float]) -> dict[str, np.ndarray]:
    """Return told columns of flat bars with splits at some rows."""
    prices = np.array(close)
    zero = np.zeros(len(close))
    splits = zero.copy()
    splits[list(split)] = list(split.values())
    named = {name: prices.copy() for name in repair.PRICES}
    return {**named, "volume": np.full(len(close), 1000.0), "dividend": zero, "capital_gain": zero, "split": splits}


def test_a_lone_row_that_missed_a_steep_split_is_set_right() -> None:
    """Twenty for one: 200 between tens is 10, and its volume is twenty times as much."""
    told = columns([10.0, 10.2, 200.0, 10.1, 10.0, 10.3, 10.1], {5: 20.0})

    made = repair.merge(told, told)

    assert made["close"][2] == 10.0
    assert made["volume"][2] == 20_000.0
    assert [reason is not None for reason in made["reason"]] == [False, False, True, False, False, False, False]


def test_a_move_that_no_split_explains_stays() -> None:
    """A price seven times its neighbours beside a split of twenty: for quality to flag."""
    told = columns([10.0, 10.2, 70.0, 10.1, 10.0, 10.3, 10.1], {5: 20.0})

    made = repair.merge(told, told)

    assert made["close"][2] == 70.0
    assert not any(made["reason"])


def test_a_dividend_of_the_day_of_a_split_is_what_an_old_share_was_paid(exchange: Exchange) -> None:
    """Capricorn paid 115 pence for each old share on the day on which 70 of them became 33; Yahoo says 243.94 for a new one."""
    defect = next(each for each in DEFECTS if each.symbol == "CNE.L")
    source = Yahoo(Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=True), exchange.client(), clock=after(defect))

    actions = source.actions(defect.market, None, None)

    assert actions["kind"].to_list() == ["dividend", "split"]
    assert actions["value"].to_list() == pytest.approx([115.0, 33.0 / 70.0], rel=1e-6)
