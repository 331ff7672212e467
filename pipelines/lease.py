"""Lease: one process at a time may write a thing. The system takes a lease back with its process, however that ends."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOLDER_BYTES = 256

#: Makes the error of a thing that another process has, of who that is.
Refusal = Callable[[str], Exception]


def take(path: Path, refusal: Refusal) -> int:
    """Lock a file and return its descriptor, which holds the lease until it is closed; raise the refusal."""
    lease = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lease, HOLDER_BYTES, 0).decode(errors="replace").strip() or "another process"
        os.close(lease)
        raise refusal(holder) from None
    os.ftruncate(lease, 0)
    os.pwrite(lease, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return lease


@contextmanager
def held(path: Path, refusal: Refusal) -> Iterator[None]:
    """Hold a lease within a block; raise the refusal."""
    lease = take(path, refusal)
    try:
        yield
    finally:
        os.close(lease)
