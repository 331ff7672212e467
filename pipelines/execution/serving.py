"""Serving: a verified model beside the live feature engine, over history and bar by bar."""

import numpy as np

from domain.panel import FloatArray, Panel


def scale(panel: Panel) -> FloatArray:
    """Return [T, S] the one-bar volatility that the house measures everything in, known at each close."""
    from features import catalog
    from features.engine import FeatureEngine

    engine = FeatureEngine(catalog.select(()), len(panel.symbols))
    return np.ascontiguousarray(engine.advance(panel)[:, :, engine.names.index(catalog.SCALE)], dtype=np.float64)
