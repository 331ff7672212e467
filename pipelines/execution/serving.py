"""Serving: a verified model beside the live feature engine, over history and bar by bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.error import ModelError, nearest
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params, Sizing
from features import catalog
from features.engine import FeatureEngine
from features.feature import Feature
from models import bundle
from models.contract import Float32Array, Model

YEAR_US = 365.25 * 86_400e6


@dataclass(frozen=True)
class Served:
    """A model that may be traded, with the features that it reads."""

    model: Model
    features: tuple[Feature, ...]
    horizon: int
    version: str
    """The registry's number, or the model's digest where there is none."""
    expires_at: np.datetime64 | None = None
    """Bars that close later get no forecast: the model is too old to open anything new."""
    sizing: Sizing | None = None
    """Settings that it is traded by; None leaves them to params.yaml."""

    def terms(self, params: Params) -> Params:
        """Return params.yaml with the settings that the model brings laid over its own."""
        return params.sized(self.sizing)

    def feed(self, symbols: int) -> "Feed":
        """Return a stream of forecasts for a universe of that many symbols, before its first bar."""
        return Feed(self, symbols)

    def forecasts(self, panel: Panel) -> FloatArray:
        """Return [T, S, Q] what would have been forecast at each close; row t has seen rows up to t alone."""
        return self.feed(len(panel.symbols)).advance(panel)[0]


class Feed:
    """Bars in, forecasts out, any number of bars at a time: the same bits however the bars are cut."""

    def __init__(self, served: Served, symbols: int) -> None:
        self._model, self._expires_at = served.model, served.expires_at
        self._engine = FeatureEngine(served.features, symbols)
        self._scale = self._engine.names.index(catalog.SCALE)
        self._context = served.model.context_bars - 1
        self._features: Float32Array = np.empty((0, symbols, len(self._engine.names)), dtype=np.float32)
        self._scales: FloatArray = np.empty((0, symbols))

    def advance(self, bars: Panel) -> tuple[FloatArray, FloatArray]:
        """Take in [T, S] bars; return their forecasts [T, S, Q] and one-bar volatilities [T, S]."""
        features, scales = self._measure(bars)
        skip = len(scales) - bars.bars
        forecasts = self._model.predict(features, scales)[skip:]
        if self._expires_at is not None:
            forecasts[bars.event_at > self._expires_at] = np.nan
        return forecasts, scales[skip:]

    def warm(self, bars: Panel) -> FloatArray:
        """Take in [T, S] bars without forecasting; return their one-bar volatilities [T, S]."""
        return self._measure(bars)[1][-bars.bars :] if bars.bars else np.empty((0, len(bars.symbols)))

    def _measure(self, bars: Panel) -> tuple[Float32Array, FloatArray]:
        """Return features and scales of the bars, after as many earlier rows as one forecast reads."""
        features = self._engine.advance(bars)
        scales = np.ascontiguousarray(features[:, :, self._scale], dtype=np.float64)
        if self._context:
            features, scales = np.concatenate((self._features, features)), np.concatenate((self._scales, scales))
            self._features, self._scales = features[-self._context :].copy(), scales[-self._context :].copy()
        return features, scales


def load(
    folder: Path,
    *,
    version: str | None = None,
    tolerance: float = 0.0,
    market: Market | None = None,
    age_bars_max: int | None = None,
    fed_by: str | None = None,
) -> Served:
    """Verify a bundle and return its model ready to be served.

    With a market and an age it stops forecasting that many of the market's bars after the newest one that it was trained on.

    Raises CorruptBundle when a byte or a golden vector differs, ModelError when its features are measured otherwise now, or when it
    was trained on bars of another feed than `fed_by`.
    """
    model, manifest = bundle.load(folder, tolerance)
    features = _features(folder, manifest.features)
    found = catalog.schema_hash(features)
    if found != manifest.schema_hash:
        raise ModelError(
            f"the model in {folder} was fitted to features with schema {manifest.schema_hash[:12]}, "
            f"this version measures {found[:12]} under the same names: train it anew"
        )
    if fed_by is not None and manifest.lineage.get("fed_by", fed_by) != fed_by:
        raise ModelError(
            f"the model in {folder} was trained on bars of '{manifest.lineage['fed_by']}', the market is fed by '{fed_by}' now: "
            "train it anew, or choose that feed again"
        )
    expires_at = None
    if market is not None and age_bars_max is not None and "last" in manifest.lineage:
        expires_at = _moment(manifest.lineage["last"]) + np.timedelta64(round(age_bars_max / market.bars_a_year * YEAR_US), "us")
    number = version or manifest.model_digest[:12]
    return Served(model, features, manifest.horizon, number, expires_at, bundle.sizing(folder))


def scale(panel: Panel) -> FloatArray:
    """Return [T, S] the one-bar volatility that the house measures everything in, known at each close."""
    engine = FeatureEngine(catalog.select(()), len(panel.symbols))
    return np.ascontiguousarray(engine.advance(panel)[:, :, engine.names.index(catalog.SCALE)], dtype=np.float64)


def _moment(text: str) -> np.datetime64:
    """Return a time of a lineage, ISO 8601 in UTC."""
    return np.datetime64(text.removesuffix("Z").removesuffix("+00:00"), "us")


def _features(folder: Path, names: Sequence[str]) -> tuple[Feature, ...]:
    known = {feature.name: feature for feature in catalog.CATALOG}
    for name in names:
        if name not in known:
            raise ModelError(f"the model in {folder} reads feature '{name}', which this version lacks: {nearest(name, known)}")
    return tuple(known[name] for name in names)
