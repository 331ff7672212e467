"""Failure: what Delta Lake, polars and object storage complain of, as one sentence of ours."""

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

import polars as pl

from domain.error import ConfigurationError, DataError, DiskFull, NightshiftError, ResourceError

Result = TypeVar("Result")

#: Commits that another writer may win before we give up; each attempt waits a little longer.
ATTEMPTS = 30
#: What the Rust below adds to its messages, and a reader can do without.
BACKTRACE = "0: <unknown>"
COLOUR = re.compile(r"\x1b\[[0-9;]*m|↳")
#: What object storage says, by what must be done about it.
NO_BUCKET = ("NoSuchBucket", "bucket does not exist")
REFUSED = (
    "403 Forbidden",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "401 Unauthorized",
    "CredentialsNotLoaded",
)
UNREACHABLE = ("HTTP error", "error sending request", "Connection refused", "dns error", "max_retries", "timed out")


def writing(table: str, place: str, attempt: Callable[[], Result]) -> Result:
    """Run `attempt` until no other writer was faster; every failure becomes one of ours."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    for turn in range(ATTEMPTS):
        try:
            return attempt()
        except CommitFailedError:
            time.sleep(random.uniform(0.0, 0.02 * (turn + 1)))
        except (DeltaError, OSError) as problem:
            raise _unwritten(table, place, problem) from None
    raise ResourceError(f"table '{table}' could not be written: other writers were faster {ATTEMPTS} times, run it again")


def reading(table: str, place: str, attempt: Callable[[], Result]) -> Result:
    """Run `attempt`; what cannot be read becomes DataError, what cannot be reached ResourceError or ConfigurationError.

    TableNotFoundError is left to the caller: for a reader it is an error, for a writer it is not.
    """
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return attempt()
    except TableNotFoundError:
        raise
    except (DeltaError, pl.exceptions.PolarsError, OSError, ValueError) as problem:
        said = in_a_line(problem)
        damaged = DataError(f"table '{table}' cannot be read, its files are damaged or gone: {said}")
        raise (_remote(table, place, str(problem)) or damaged) from None


def _unwritten(table: str, place: str, problem: Exception) -> NightshiftError:
    said = in_a_line(problem)
    full = isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or "No space left" in said or "quota exceeded" in said:
        return DiskFull(f"table '{table}' could not be written because the disk is full ({said}): free space, nothing was lost")
    return _remote(table, place, str(problem)) or ResourceError(f"table '{table}' could not be written: {said}")


def _remote(table: str, place: str, said: str) -> NightshiftError | None:
    """Return what to say of object storage that does not serve, or None when that is not what is wrong."""
    if "://" not in place:
        return None
    asked = f"table '{table}' was asked of {place}"
    if any(word in said for word in NO_BUCKET):
        return ConfigurationError(f"{asked}, but there is no such bucket: create it, or correct NIGHTSHIFT_STORE")
    if any(word in said for word in REFUSED):
        return ConfigurationError(f"{asked}, which refused us: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if any(word in said for word in UNREACHABLE):
        return ResourceError(f"{asked}, but it cannot be reached: look at AWS_ENDPOINT_URL and run it again")
    return None


def in_a_line(problem: Exception) -> str:
    """Return a message without colours, line breaks and backtraces, at most 300 characters."""
    said = problem.strerror if isinstance(problem, OSError) and problem.filename is None and problem.strerror else str(problem)
    plain = COLOUR.sub("", said).split(BACKTRACE)[0]
    return (" ".join(plain.split()) or type(problem).__name__)[:300]
