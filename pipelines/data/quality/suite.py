"""The suite of the bars table, run as a Great Expectations checkpoint over a raw batch; the only import of that library."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from domain.bar import IMPOSSIBLE, Defect
from domain.market import Market
from pipelines.data.quality.rows import PRICES, ROUNDING

SITE = "bars"

#: Which column is never below which; the rounded ones leave room for ROUNDING.
ORDER = (
    ("high_rounded_up", "low"),
    ("high_rounded_up", "open"),
    ("high_rounded_up", "close"),
    ("open", "low_rounded_down"),
    ("close", "low_rounded_down"),
)

#: What each defect's column promises, for readers of the Data Docs.
PROMISES: dict[Defect, str] = {
    Defect.MISSING_PRICE: "Every bar has four finite prices",
    Defect.NONPOSITIVE_PRICE: "Every price is above zero",
    Defect.RANGE_BROKEN: "Open and close lie between low and high",
    Defect.NEGATIVE_VOLUME: "Volume is a finite number, zero or more",
    Defect.DUPLICATE_KEY: "A bar is there once",
    Defect.TIME_BACKWARDS: "The rows of a symbol run in one direction of time",
    Defect.MARKET_CLOSED: "No bar lies outside the sessions of the calendar, extended hours included",
    Defect.DECIMAL_SHIFT: "No price is a power of ten away from its neighbours",
    Defect.EXTENDED_HOURS: "Bars lie in the regular session",
    Defect.PRICE_SPIKE: "No lone print is reversed at once",
    Defect.VOLUME_BREAK: "The scale of volume stays what it was",
    Defect.AFTER_GAP: "No bars that the calendar expects are missing before a bar",
    Defect.PRICE_JUMP: "No jump stays: no split, spin-off or shock is left in the prices",
}


def checkpoint(table: pl.DataFrame, market: Market, folder: Path | None) -> bool:
    """Run the suite over examined bars, build Data Docs in `folder` if it is given, and return whether it passed.

    Only critical expectations count: a warning is no failure. `table` has the bar columns and a boolean column a defect.
    """
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        definition = _definition(context, market)
        actions = [] if folder is None else [_publishing(context, folder)]
        run = gx.Checkpoint(name=f"{market.name}.{market.timeframe}", validation_definitions=[definition], actions=actions)
        named = gx.RunIdentifier(run_name=f"{market.name}-{market.timeframe}")
        result = context.checkpoints.add(run).run(batch_parameters={"dataframe": _batch(table)}, run_id=named)
    return _critical_met(result)


def _definition(context: Any, market: Market) -> Any:
    import great_expectations as gx

    source = context.data_sources.add_pandas("raw").add_dataframe_asset("bars").add_batch_definition_whole_dataframe("batch")
    expectations = context.suites.add(gx.ExpectationSuite(name="bars", expectations=list(_expectations())))
    name = f"{market.name}.{market.timeframe}"
    return context.validation_definitions.add(gx.ValidationDefinition(name=name, data=source, suite=expectations))


def _expectations() -> Iterator[Any]:
    """Yield the suite: what the library can say natively, then what calendar and neighbours say, through the defect columns."""
    from great_expectations import expectations

    gxe: Any = expectations  # typed without declaring what it exports
    for price in PRICES:
        yield gxe.ExpectColumnValuesToNotBeNull(column=price, severity="critical")
        yield gxe.ExpectColumnValuesToBeBetween(column=price, min_value=0, strict_min=True, severity="critical")
    for higher, lower in ORDER:
        yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=higher, column_B=lower, or_equal=True, ignore_row_if="either_value_is_missing", severity="critical"
        )
    yield gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0, severity="critical")
    yield gxe.ExpectCompoundColumnsToBeUnique(column_list=["symbol", "opened_at", "known_at"], severity="critical")
    for defect, promise in PROMISES.items():
        severity = "critical" if defect & IMPOSSIBLE else "warning"
        name = str(defect.name).lower()
        yield gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[False], severity=severity, description=promise)


def _batch(table: pl.DataFrame) -> Any:
    """Return what the suite reads, as pandas; `high_rounded_up` and `low_rounded_down` are high and low with room for rounding."""
    flags = [str(defect.name).lower() for defect in PROMISES]
    selected = table.select(
        pl.col("symbol").cast(pl.Categorical),
        "opened_at",
        "known_at",
        *PRICES,
        "volume",
        *flags,
        high_rounded_up=pl.col("high") * (1 + ROUNDING),
        low_rounded_down=pl.col("low") * (1 - ROUNDING),
    )
    return selected.to_pandas()


def _publishing(context: Any, folder: Path) -> Any:
    from great_expectations.checkpoint.actions import UpdateDataDocsAction

    context.add_data_docs_site(
        site_name=SITE,
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        },
    )
    return UpdateDataDocsAction(name="publish", site_names=[SITE])


def _critical_met(result: Any) -> bool:
    runs = result.run_results.values()
    return all(found.success for run in runs for found in run.results if found.expectation_config.severity == "critical")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the library's warnings and log lines below errors: what it has to say of the data is in its result."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
