"""Commands: how a person reaches a running trader. A command is left as a file, journaled by the trader, and only then removed."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from domain.error import TradingError

Word = Literal["halt", "resume", "order", "cancel", "accept", "reject"]
WORDS: tuple[Word, ...] = get_args(Word)
FOLDER = "commands"
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


def leave(home: Path, word: Word, actor: str, reason: str, at_ns: int, **told: Any) -> Path:
    """Leave a command for the trader whose files are in `home`; `at_ns` orders the commands. Works while it runs and while not."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / f"{at_ns:020d}-{word}.json", folder / f".{at_ns:020d}-{word}.draft"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"word": word, "actor": actor, "reason": reason, "told": told}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return path


def waiting(home: Path) -> list[Command]:
    """Return the commands left in `home`, oldest first; raise TradingError for a file that is not one."""
    folder = home / FOLDER
    if not folder.is_dir():
        return []
    return [_read(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def remove(home: Path, commands: list[Command]) -> None:
    """Take away commands that have been journaled."""
    for command in commands:
        (home / FOLDER / command.identity).unlink(missing_ok=True)


def _read(path: Path) -> Command:
    if (match := NAME.fullmatch(path.name)) is None:
        raise TradingError(f"{path} is no command for the trader: their names are a time, then one of {', '.join(WORDS)}")
    word = next(word for word in WORDS if word == match[2])
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Command(path.name, word, str(told["actor"]), str(told["reason"]), int(match[1]), dict(told["told"]))
    except (ValueError, KeyError, TypeError):
        raise TradingError(f"the command {path} cannot be read: leave it again") from None
