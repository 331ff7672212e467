"""Admit: a champion that no gate let in passes them now, or the alias goes back to where it was."""

import logging
from typing import Any

from domain.error import NightshiftError, NoChampion, ResourceError
from domain.params import Params
from flows import events, retrain
from flows.home import Home
from pipelines.registry import CHAMPION, Registry

log = logging.getLogger("nightshift.admit")


def admit(market: str, home: Home, params: Params) -> dict[str, Any]:
    """See that the champion is who the gates made champion, and return what was found and done.

    A version that was put there by hand is promoted, if its gate report and its bundle allow that. Otherwise the alias goes back to
    where it was, which is logged and told to Prefect. Raises ResourceError where the registry cannot be reached: ask again.
    """
    registry = Registry(home.mlflow)
    if registry.stands(market):
        return {"market": market, "champion": _champion(registry, market)}
    moved = _champion(registry, market)
    try:
        if moved is None:
            raise NoChampion(
                f"the alias '{CHAMPION}' of market '{market}' was taken away by hand: move it with `nightshift promote`"
            )
        return {"market": market, "champion": retrain.promote(market, moved, home, params).number, "admitted": True}
    except ResourceError:
        raise
    except NightshiftError as refused:
        restored = registry.restore(market)
        standing = None if restored is None else restored.number
        log.warning("the champion of %s was moved by hand to %s and goes back to %s: %s", market, moved, standing, refused)
        events.refused(market, moved, standing, str(refused), home)
        return {"market": market, "champion": standing, "moved_to": moved, "refused": str(refused)}


def _champion(registry: Registry, market: str) -> int | None:
    try:
        return registry.version(market, CHAMPION).number
    except NoChampion:
        return None
