"""The one door to Great Expectations: a suite, given as data, runs as a checkpoint over an examined batch."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

SITE = "quality"


@dataclass(frozen=True)
class Expectation:
    """One row of a suite, by the library's own name of it."""

    kind: str
    """A class of great_expectations.expectations, such as ExpectColumnValuesToNotBeNull."""
    settings: Mapping[str, Any]
    """Its arguments."""
    critical: bool = True
    """Whether the checkpoint fails with it; otherwise it only warns."""
    promise: str | None = None
    """What it asks, for readers of the Data Docs."""


def promised(name: str, promise: str, critical: bool) -> Expectation:
    """Return the expectation that no row has the defect whose boolean column is `name`."""
    return Expectation("ExpectColumnValuesToBeInSet", {"column": name, "value_set": [False]}, critical, promise)


def checkpoint(batch: pl.DataFrame, suite: str, name: str, expectations: Iterable[Expectation], folder: Path | None) -> bool:
    """Run a suite over a batch, build Data Docs in `folder` if it is given, and return whether it passed.

    `suite` names the table that it is about, `name` the validation. Only critical expectations count: a warning is no failure.
    """
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        definition = _definition(context, suite, name, expectations)
        actions = [] if folder is None else [_publishing(context, folder)]
        run = gx.Checkpoint(name=name, validation_definitions=[definition], actions=actions)
        named = gx.RunIdentifier(run_name=name.replace(".", "-"))
        result = context.checkpoints.add(run).run(batch_parameters={"dataframe": batch.to_pandas()}, run_id=named)
    return _critical_met(result)


def _definition(context: Any, suite: str, name: str, expectations: Iterable[Expectation]) -> Any:
    import great_expectations as gx

    source = context.data_sources.add_pandas("raw").add_dataframe_asset(suite).add_batch_definition_whole_dataframe("batch")
    added = context.suites.add(gx.ExpectationSuite(name=suite, expectations=[_expectation(row) for row in expectations]))
    return context.validation_definitions.add(gx.ValidationDefinition(name=name, data=source, suite=added))


def _expectation(row: Expectation) -> Any:
    from great_expectations import expectations

    described = {} if row.promise is None else {"description": row.promise}
    severity = "critical" if row.critical else "warning"
    return getattr(expectations, row.kind)(**row.settings, **described, severity=severity)


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
