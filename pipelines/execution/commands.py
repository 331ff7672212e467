"""Commands: how a person reaches a running trader. A command is left as a file, journaled by the trader, and only then removed."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domain.error import TradingError

Word = Literal["halt", "resume"]
FOLDER = "commands"
NAME = re.compile(r"\d{20}-(halt|resume)\.json")


@dataclass(frozen=True)
class Command:
    """What a person asks of the trader at its next bar."""

    identity: str
    """The file's name: a command is honoured once, however often it is found."""
    word: Word
    actor: str
    reason: str


def leave(home: Path, word: Word, actor: str, reason: str, at_ns: int) -> Path:
    """Leave a command for the trader whose files are in `home`; `at_ns` orders the commands. Works while it runs and while not."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / f"{at_ns:020d}-{word}.json", folder / f".{at_ns:020d}-{word}.draft"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"word": word, "actor": actor, "reason": reason}, file)
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
        raise TradingError(f"{path} is no command for the trader: their names are a time, then 'halt' or 'resume'")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Command(path.name, "halt" if match[1] == "halt" else "resume", str(told["actor"]), str(told["reason"]))
    except (ValueError, KeyError, TypeError):
        raise TradingError(f"the command {path} cannot be read: leave it again") from None
