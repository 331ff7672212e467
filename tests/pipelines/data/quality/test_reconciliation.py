"""Two sources for the same bars: each planted difference is called by its name, and equal sources have none."""

from datetime import date, timedelta

import polars as pl
import pytest

from domain.error import NoData
from pipelines.data.quality.reconciliation import Reconciliation, reconcile
from pipelines.data.quality.rows import PRICES
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=2)
DAYS = BARS.filter(pl.col("symbol") == "S0")["opened_at"].to_list()
FIVE = clean.market(timeframe="5m")
MINUTES = clean.bars(FIVE, date(2024, 1, 2), date(2024, 1, 5), symbols=1)


def times(factor: float, first: int = 0, last: int | None = None, names: tuple[str, ...] = PRICES) -> pl.DataFrame:
    """Return BARS with columns of S0 multiplied between two days, both included."""
    until = DAYS[-1] if last is None else DAYS[last]
    here = (pl.col("symbol") == "S0") & pl.col("opened_at").is_between(DAYS[first], until)
    return BARS.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(name).alias(name) for name in names)


def compared(left: pl.DataFrame, right: pl.DataFrame = BARS) -> Reconciliation:
    """Return what two sources of days differ in."""
    return reconcile(left, right, DAILY, clean.LIMITS, ("left", "right"))


def kinds(found: Reconciliation) -> dict[str, int]:
    """Return bars by kind."""
    return dict(found.summary.select("kind", "bars").iter_rows())


def test_equal_sources_differ_in_nothing() -> None:
    """Not one bar, not one step, all closes agree."""
    found = compared(BARS)

    assert found.differences.is_empty()
    assert found.steps.is_empty()
    assert found.symbols["agree"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("factor", "kind"),
    [(0.5, "split_factor"), (1 / 3, "split_factor"), (1.5, "split_factor"), (0.97, "adjustment"), (0.88, "spinoff_adjustment")],
)
def test_a_factor_on_the_past_is_named_by_its_size(factor: float, kind: str) -> None:
    """One source adjusts what lies before an ex-date and the other does not; the step says when."""
    found = compared(times(factor, 0, 99))

    assert kinds(found) == {kind: 100}
    assert found.steps.select("symbol", "opened_at", "kind").rows() == [("S0", DAYS[100], kind)]
    assert found.steps["ratio"].to_list() == pytest.approx([1 / factor])


@pytest.mark.parametrize(("factor", "kind"), [(100.0, "unit"), (0.01, "unit"), (1.2345, "scale")])
def test_a_constant_factor_is_another_unit(factor: float, kind: str) -> None:
    """Pence for pounds all along, or another currency."""
    assert kinds(compared(times(factor))) == {kind: len(DAYS)}


def test_a_lone_print_is_named_with_its_fields() -> None:
    """One bar of which only high and close differ."""
    found = compared(times(1.1, 60, 60, ("high", "close")))

    assert found.differences.select("kind", "fields", "symbol", "opened_at").rows() == [
        ("lone_print", "high close", "S0", DAYS[60])
    ]


def test_missing_bars_are_named_by_the_side_that_lacks_them() -> None:
    """Within the time that both cover; a shorter history is none."""
    holed = BARS.filter(~pl.col("opened_at").is_in(DAYS[50:53]))

    assert kinds(compared(holed)) == {"missing_left": 6}
    assert kinds(compared(BARS, holed)) == {"missing_right": 6}
    assert kinds(compared(BARS.filter(pl.col("opened_at") > DAYS[40]))) == {}


@pytest.mark.parametrize("bars", [-1, 1, 2])
def test_bars_stamped_at_their_end_are_a_time_shift(bars: int) -> None:
    """A source that stamps the close shows every move one bar late."""
    shifted = MINUTES.with_columns(pl.col("opened_at") + bars * FIVE.bar)

    found = reconcile(MINUTES, shifted, FIVE, clean.LIMITS, ("left", "right"))

    assert found.symbols["shift_s"].to_list() == [-bars * 300.0]
    assert set(kinds(found)) == {"time_shift"}


def test_another_zone_is_a_time_shift() -> None:
    """New York's wall clock taken for UTC."""
    shifted = MINUTES.with_columns(pl.col("opened_at") - timedelta(hours=5))

    assert reconcile(MINUTES, shifted, FIVE, clean.LIMITS, ("left", "right")).symbols["shift_s"].to_list() == [5 * 3600.0]


def test_volumes_of_another_scale_are_named_with_their_ratio() -> None:
    """A single venue of many; or a split that the volume was not adjusted for: NVDA's ten for one."""
    found = compared(times(0.1, names=("volume",)))

    assert kinds(found) == {"volume_scale": len(DAYS)}
    assert found.symbols["volume_ratio"].to_list() == pytest.approx([0.1, 1.0])


def test_sources_of_nothing_in_common_are_refused() -> None:
    """One sentence."""
    with pytest.raises(NoData, match="no symbol in common"):
        compared(BARS.with_columns(symbol=pl.lit("X")))
