"""Beside: work in a process of its own, which ends when its time is over or when the one that asked for it does."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]

from domain.error import DeadlinePassed, ResourceError

T = TypeVar("T")

#: Seconds between looks at whether the parent lives.
POLL_S = 0.2


class Beside:
    """One process that is called like a function, again and again, with what can be pickled."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_follow, initargs=(os.getpid(),))

    def call(self, left_s: float, name: str, step: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what the step returns; end it, with all that it has started, after `left_s` seconds.

        Raises what the step raises, DeadlinePassed, and ResourceError when the system ended it.
        """
        asked = self._pool.submit(step, *arguments, **named)
        try:
            return asked.result(timeout=left_s)
        except TimeoutError:
            self.end()
            raise DeadlinePassed(f"step '{name}' was given {left_s:.0f} s and was ended: what it finished is kept") from None
        except BrokenProcessPool:
            raise ResourceError(f"the process of step '{name}' was ended by the system: look whether memory ran out") from None

    def end(self) -> None:
        """End the process and its children, whatever they do."""
        mine = psutil.Process().children(recursive=True)
        workers = set(self._pool._processes or ())
        family = [child for child in mine if child.pid in workers or workers & {parent.pid for parent in child.parents()}]
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in family:
            child.kill()
        psutil.wait_procs(family)


def _follow(parent: int) -> None:
    """Let this process end with its parent, were that killed: nobody else would end it."""

    def look() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(POLL_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
