"""Every error of the house, grouped by what must be done about it.

NightshiftError
├── ConfigurationError      correct params.yaml or the command line
│   ├── UnknownParameter
│   └── UnknownMarket
├── DataError               look at the data: it was left as it was found
│   ├── UnreadableFile
│   └── NoData
├── ModelError              train, or promote another version
│   ├── NoChampion
│   └── CorruptBundle
├── TradingError            trading stopped: look before it is resumed
│   ├── LeaseTaken
│   ├── JournalBroken
│   └── OrderRefused
└── ResourceError           free disk or memory, start the server, then run it again
    ├── DiskFull
    └── DeadlinePassed

A message is one sentence: what was asked, what was found, what would be right.
"""

import difflib
from collections.abc import Iterable


class NightshiftError(Exception):
    """Any failure that a person can read and act upon."""


class ConfigurationError(NightshiftError):
    """The parameters or the command line ask for something impossible."""


class UnknownParameter(ConfigurationError):
    """A key that params.yaml does not have."""


class UnknownMarket(ConfigurationError):
    """A market that params.yaml does not list."""


class DataError(NightshiftError):
    """The data cannot be used as it is."""


class UnreadableFile(DataError):
    """A file that no reader understands."""


class NoData(DataError):
    """Nothing is stored for what was asked."""


class ModelError(NightshiftError):
    """A model is missing or must not be served."""


class NoChampion(ModelError):
    """No version of this market has been promoted."""


class CorruptBundle(ModelError):
    """A model's files are not the files that were signed off."""


class TradingError(NightshiftError):
    """Trading stopped to protect the account."""


class LeaseTaken(TradingError):
    """Another trader already owns this account."""


class JournalBroken(TradingError):
    """The journal's chain of hashes does not hold."""


class OrderRefused(TradingError):
    """The broker refused an order that the gate had approved."""


class ResourceError(NightshiftError):
    """The machine lacks something that the work needs."""


class DiskFull(ResourceError):
    """Nothing more can be written; what was written before is intact."""


class DeadlinePassed(ResourceError):
    """The time that the work was given is over; what was finished is kept."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the half sentence that leads a reader from a wrong name to the right ones.

    >>> nearest("horizn", ["horizon", "label"])
    "did you mean 'horizon'?"
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(choices)
