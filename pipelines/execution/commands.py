"""Commands: how a person reaches a running trader. A command is left as a file, journaled by the trader, and only then removed."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Word = Literal["halt", "resume", "order", "cancel", "accept", "reject", "correct"]
WORDS: tuple[Word, ...] = get_args(Word)
FOLDER = "commands"
#: Where files lie that could not be understood.
UNREAD = "unread"
#: How commands are written; another number for whatever a trader of another version could not read.
FORM = 1
NAME = re.compile(rf"(\d{{20}})-({'|'.join(WORDS)})\.json")


@dataclass(frozen=True)
class Command:
    """What a person asks of the trader."""

    identity: str
    """The file's name: a command is honoured once, however often it is found."""
    word: Word
    actor: str
    reason: str
    at_ns: int
    """When it was left, nanoseconds since 1970."""
    told: dict[str, Any] = field(default_factory=dict)
    """What else the word needs: an order's symbol, say."""
    fault: str = ""
    """Why it cannot be understood, nothing where it can."""


def leave(home: Path, word: Word, actor: str, reason: str, at_ns: int, **told: Any) -> Path:
    """Leave a command for the trader whose files are in `home`; `at_ns` orders the commands. Works while it runs and while not."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / f"{at_ns:020d}-{word}.json", folder / f".{at_ns:020d}-{word}.draft"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"form": FORM, "word": word, "actor": actor, "reason": reason, "told": told}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return path


def waiting(home: Path) -> list[Command]:
    """Return the commands left in `home`, oldest first.

    A file that cannot be read is one with a fault: a halt, unless its name says what else was wanted.
    """
    folder = home / FOLDER
    if not folder.is_dir():
        return []
    return [_read(path) for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]


def remove(home: Path, commands: list[Command]) -> None:
    """Take away commands that have been journaled; what could not be understood is kept aside."""
    for command in commands:
        path = home / FOLDER / command.identity
        if command.fault and path.exists():
            (home / UNREAD).mkdir(exist_ok=True)
            path.replace(home / UNREAD / command.identity)
        path.unlink(missing_ok=True)


def _read(path: Path) -> Command:
    match = NAME.fullmatch(path.name)
    word: Word = "halt" if match is None else next(word for word in WORDS if word == match[2])
    at_ns = 0 if match is None else int(match[1])
    try:
        if match is None:
            raise ValueError(f"names are a time, then one of {', '.join(WORDS)}")
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["form"] != FORM:
            raise ValueError(f"it is written in form {told['form']}, this version reads form {FORM}")
        return Command(path.name, word, str(told["actor"]), str(told["reason"]), at_ns, dict(told["told"]))
    except (ValueError, KeyError, TypeError, OSError) as problem:
        fault = f"{path.name} was left for the trader and cannot be read ({problem})"
        return Command(path.name, word, "unknown", "", at_ns, fault=fault)
