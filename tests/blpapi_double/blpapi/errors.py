"""Errors: what the library raises."""

import builtins


class Exception(builtins.Exception):  # noqa: A001  # the library's own name
    """Every error of the library."""


class InvalidArgumentException(Exception):
    """An argument that cannot be."""


class NotFoundException(Exception):
    """An element that an operation does not have."""
