"""Screen: how a command speaks, to a person in tables and progress bars, to a program in JSON."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

P = ParamSpec("P")
R = TypeVar("R")


def say(answer: Mapping[str, Any], as_json: bool, title: str = "") -> None:
    """Print flat facts: one JSON object on a line, or a two-column table. A number that is not finite is null in JSON."""
    if as_json:
        sys.stdout.write(json.dumps(_finite(answer), sort_keys=True, default=str, allow_nan=False) + "\n")
        sys.stdout.flush()
        return
    grid = Table(title=title or None, show_header=False, title_justify="left")
    grid.add_column()
    grid.add_column(overflow="fold")  # a path is of use only as a whole
    for name, value in answer.items():
        if not isinstance(value, dict | list):
            grid.add_row(name, shown(value))
    Console().print(grid)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows that share their columns, and of none the title alone."""
    if not rows:
        Console().print(title)
        return
    grid = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        grid.add_column(name, justify="right" if isinstance(rows[0][name], int | float) else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(shown(value) for value in row.values()))
    Console().print(grid)


def beside(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows that share their columns turned on their side, a line a fact: a few rows then need no wide screen."""
    grid = Table(title=title, title_justify="left", show_header=False)
    for _ in range(len(rows) + 1):
        grid.add_column(overflow="fold")
    for name in rows[0] if rows else ():
        grid.add_row(name, *(shown(row[name]) for row in rows))
    Console().print(grid)


def shown(value: object) -> str:
    """Format one value for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return "–" if value is None else str(value)


@dataclass
class Steps:
    """A progress bar that names the step at work; pass it as `do` to whatever arranges steps."""

    progress: Progress
    task: TaskID
    prefix: str = ""
    done: list[str] = field(default_factory=list)

    def __call__(self, name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        """Run one step under its name and count it."""
        self.progress.update(self.task, description=f"{self.prefix}{name}")
        answer = step(*arguments, **named)
        self.done.append(name)
        self.progress.advance(self.task)
        return answer

    def within(self, prefix: str) -> "Steps":
        """Return the same bar with every step's name after `prefix`."""
        return Steps(self.progress, self.task, f"{prefix}: ", self.done)


@contextmanager
def steps(total: int | None = None, quiet: bool = False) -> Iterator[Steps]:
    """Show a progress bar on standard error while steps run; nothing at all when `quiet` or not on a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True) as progress:
        yield Steps(progress, progress.add_task("", total=total))


@contextmanager
def bars(title: str, total: int, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a progress bar that is told the number of bars done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} bars"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
