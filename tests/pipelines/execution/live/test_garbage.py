"""Garbage is looked for between bars, not in the middle of one, and is found all the same."""

import asyncio
import gc
import weakref

import pytest

from pipelines.execution import live


class Knot:
    """Refers to itself, so that only a search finds it."""

    def __init__(self) -> None:
        self.itself = self


def test_a_bar_is_not_held_up_and_its_garbage_is_found_within_a_tick(monkeypatch):
    """However many objects a bar makes, none of them sets off a search; the next tick does."""
    monkeypatch.setattr(live, "TICK_S", 0.2)
    searches = []

    async def both() -> tuple[int, bool, bool]:
        with live.unhurried():
            sweeping = asyncio.create_task(live.sweep())
            gc.callbacks.append(searched)
            knot = weakref.ref(Knot())
            kept = [[number] for number in range(100_000)]
            within, lies = len(searches), knot() is not None
            await asyncio.sleep(0.5)
            sweeping.cancel()
            return within, lies, knot() is not None and bool(kept)

    def searched(phase: str, _: dict) -> None:
        if phase == "start":
            searches.append(phase)

    try:
        within, lay, lies = asyncio.run(both())
    finally:
        gc.callbacks.remove(searched)

    assert within == 0
    assert lay
    assert not lies
    assert gc.isenabled()


def test_what_fails_leaves_the_search_as_it_was():
    """A trader that dies of an error leaves its process as it found it."""
    with pytest.raises(RuntimeError, match="lost"), live.unhurried():
        raise RuntimeError("lost")

    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
