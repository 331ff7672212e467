"""The catalogue: every feature that a model may see, one row each. All are free of a price's or a volume's scale."""

import hashlib
import json
from collections.abc import Sequence

from domain.error import UnknownParameter, nearest
from features import own
from features.catalog import (
    alpha101,
    alpha158,
    classic,
    flow,
    group,
    macro,
    news,
    normalised,
    pattern,
    realised,
    regime,
    session,
    static,
    technical,
    timeframe,
)
from features.catalog.classic import SCALE
from features.feature import Feature

__all__ = ["CATALOG", "FAMILIES", "SCALE", "schema_hash", "select"]

CATALOG: tuple[Feature, ...] = (
    classic.FEATURES
    + news.FEATURES
    + macro.FEATURES
    + alpha158.FEATURES
    + technical.FEATURES
    + pattern.FEATURES
    + realised.FEATURES
    + flow.FEATURES
    + normalised.FEATURES
    + regime.FEATURES
    + group.FEATURES
    + static.FEATURES
    + session.FEATURES
    + timeframe.FEATURES
    + alpha101.FEATURES
    + own.FEATURES
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(feature.family for feature in CATALOG))


def select(families: Sequence[str]) -> tuple[Feature, ...]:
    """Return the families' features in catalogue order, SCALE always among them; raise UnknownParameter for no such family."""
    for family in families:
        if family not in FAMILIES:
            raise UnknownParameter(f"features.families: '{family}' is not a family of the catalogue: {nearest(family, FAMILIES)}")
    return tuple(feature for feature in CATALOG if feature.family in families or feature.name == SCALE)


def schema_hash(features: Sequence[Feature]) -> str:
    """Return a SHA-256 over all that decides the features' values: names, kernels, parameters and inputs, all the way down."""
    recipes = [feature.recipe for feature in features]
    return hashlib.sha256(json.dumps(recipes).encode()).hexdigest()
