"""Sentence: how a command fails, whatever was wrong: one sentence on standard error, an exit code, and no traceback.

With --json the same sentence is also the one document on standard output, `{"error": ...}`: a program reads either answer alike.
"""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from domain.error import DiskFull, NightshiftError, ResourceError
from flows import screen

WELL, FAILED, MISSPELT, INTERRUPTED = 0, 1, 2, 130
HELP, JSON = "--help", "--json"
STOPPED = "stopped by Ctrl-C; what was finished is kept: run the same command again"
#: Where the parser begins a sentence: ours is one.
SENTENCES = re.compile(r"(^|[.:] )([A-Z])(?=[a-z])")


class Commands(TyperGroup):
    """The words of the command line; one that they do not take fails like everything else."""

    def main(self, args: Any = None, *settings: Any, **named: Any) -> NoReturn:
        """Run the command that `args` (by default those of the process) ask for, help without any, and leave with its exit code."""
        words = list(sys.argv[1:] if args is None else args) or [HELP]
        try:
            code = super().main(words, *settings, **{**named, "standalone_mode": False})
        except typer.TyperException as problem:
            code = MISSPELT
            tell(_misspelt(problem), JSON in words)
        if code == INTERRUPTED:
            tell(STOPPED, JSON in words)
        sys.exit(code or WELL)


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """Turn every failure that a person can act upon into its sentence and its exit code."""
    try:
        yield
    except NightshiftError as problem:
        tell(str(problem), as_json)
        raise typer.Exit(FAILED) from None
    except OSError as problem:
        if problem.errno == errno.EPIPE:
            raise  # nobody reads on, as with `| head`: typer leaves without a word
        tell(str(refused(problem)), as_json)
        raise typer.Exit(FAILED) from None


def tell(sentence: str, as_json: bool) -> None:
    """Write the sentence where people and programs look for it."""
    sys.stderr.write(f"nightshift: {sentence}\n")
    if as_json:
        screen.say({"error": sentence}, as_json)


def _misspelt(problem: typer.TyperException) -> str:
    """Return which command was given which wrong word, and where to look what is right."""
    context = getattr(problem, "ctx", None)
    name = context.info_name if context is not None and context.parent else ""
    said = SENTENCES.sub(lambda found: f"{found[1] and ': '}{found[2].lower()}", problem.format_message().removesuffix("."))
    of, asked = (f"{name}: ", f"nightshift {name} {HELP}") if name else ("", f"nightshift {HELP}")
    return f"{of}{said}; {asked} tells what is right"


def refused(problem: OSError) -> ResourceError:
    """Return what the machine refused as one of ours; every file a command meets is named by a person, or lies in the home."""
    where = f" ({problem.filename})" if problem.filename else ""
    # NumPy tells a short write without its number: "4712 requested and 496 written".
    if problem.errno in {errno.ENOSPC, errno.EDQUOT} or str(problem).endswith(" written"):
        return DiskFull(f"the disk is full{where}: free some space and run this again; nothing written before is lost")
    reason = (problem.strerror or str(problem)).lower()
    return ResourceError(f"the machine refused a file{where}: {reason}; name another path, or another home with NIGHTSHIFT_HOME")
