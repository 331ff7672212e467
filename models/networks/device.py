"""Device: where networks are trained, and how numbers are kept there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from domain.error import ConfigurationError


def chosen(name: str) -> torch.device:
    """Return the device that was asked for; raise ConfigurationError for a GPU that is not there, instead of using another."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "training.hardware.device 'cuda' was asked for, but torch finds no GPU on this machine: choose 'cpu', or run where "
            "there is one"
        )
    return torch.device(name)


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Make torch give the same bits again: its seed, its algorithms, one thread; what it was set to before comes back.

    More threads split sums elsewhere, and small networks gain nothing by them.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        if device.type == "cpu":
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)
