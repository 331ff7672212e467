"""Errors: grouped by what must be done."""

import inspect

from domain import error


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    """A class that is not drawn, or drawn and not there, fails."""
    drawn = {word for line in (error.__doc__ or "").splitlines() for word in line.replace("├", " ").replace("└", " ").split()}
    classes = {name for name, kind in inspect.getmembers(error, inspect.isclass) if kind.__module__ == "domain.error"}

    assert classes <= drawn | {word.strip("─ ") for word in drawn}


def test_a_near_name_is_suggested_and_a_far_one_lists_all() -> None:
    """The reader is led to what is right."""
    assert error.nearest("crypot", ["crypto", "fx"]) == "did you mean 'crypto'?"
    assert error.nearest("zzz", ["fx", "crypto"]) == "known: crypto, fx"
