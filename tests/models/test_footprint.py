"""Footprint: a process that serves is weighed by what serving adds to it."""

from pathlib import Path

import numpy as np
import pytest

from domain.error import ResourceError
from domain.forecast import LEVELS
from models import bundle, footprint
from models.baseline import Drift
from models.bundle import Golden, Schema
from models.contract import Dataset
from tests.models.planted import HORIZON, planted, training

#: Bytes of the forecasts for a row and symbol.
FORECAST_BYTES = 8 * len(LEVELS)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a small market."""
    return planted(symbols=20)


@pytest.fixture(scope="module")
def folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a model that takes hardly more than its answers."""
    model = Drift.create(training(), HORIZON)
    model.fit(dataset, np.arange(200), np.arange(0))
    place = tmp_path_factory.mktemp("served") / "bundle"
    bundle.write(place, model, Schema(dataset.names, "s"), Golden.of(dataset), params_hash="p", lineage={})
    return place


def weighed(folder: Path, dataset: Dataset, times: int) -> float:
    """Return the megabytes of forecasting the dataset so many times over in one call."""
    return footprint.memory_mb(folder, np.tile(dataset.features, (times, 1, 1)), np.tile(dataset.scale, (times, 1)))


def test_what_is_forecast_is_counted_and_what_the_parent_holds_is_not(folder: Path, dataset: Dataset) -> None:
    """A million more forecasts weigh at least their 40 bytes each; 300 MB of the process that asks weigh nothing."""
    held = np.ones(300_000_000, dtype=np.uint8)
    few, many = (weighed(folder, dataset, times) for times in (1, 140))
    more_mb = 139 * dataset.scale.size * FORECAST_BYTES / 1e6

    assert held.all()
    assert few < 200.0
    assert more_mb < many - few < 20.0 * more_mb


def test_a_bundle_that_cannot_be_served_is_no_evidence(tmp_path: Path, dataset: Dataset) -> None:
    """The process's last words are the reason."""
    with pytest.raises(ResourceError, match=r"was to be measured, but its process ended with code 1: .*holds no manifest\.json"):
        weighed(tmp_path, dataset, 1)
