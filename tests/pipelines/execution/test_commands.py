"""Commands reach the trader whole, in order, and are refused when they are none."""

import pytest

from domain.error import TradingError
from pipelines.execution import commands


def test_commands_are_found_in_the_order_they_were_left_and_removed_by_name(tmp_path):
    """The oldest first, each with who asked and why."""
    commands.leave(tmp_path, "resume", "bo", "fine again", 20)
    commands.leave(tmp_path, "halt", "al", "odd prices", 3)

    waiting = commands.waiting(tmp_path)
    commands.remove(tmp_path, waiting[:1])

    assert [(c.word, c.actor, c.reason) for c in waiting] == [("halt", "al", "odd prices"), ("resume", "bo", "fine again")]
    assert commands.waiting(tmp_path) == waiting[1:]


def test_a_command_carries_what_its_word_needs(tmp_path):
    """An order its symbol, say; and when it was left."""
    commands.leave(tmp_path, "order", "al", "a feeling", 7, symbol="AAA", quantity="3")
    (found,) = commands.waiting(tmp_path)
    assert (found.at_ns, found.told) == (7, {"symbol": "AAA", "quantity": "3"})


def test_nothing_waits_where_nothing_was_left(tmp_path):
    """A home without the folder has no commands."""
    assert commands.waiting(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [("stop.json", "{}", "is no command"), (f"{1:020d}-halt.json", "{", "cannot be read: leave it again")],
)
def test_a_file_that_is_no_command_is_refused(tmp_path, name, text, sentence):
    """A trader does not guess what was meant."""
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / name).write_text(text)

    with pytest.raises(TradingError, match=sentence):
        commands.waiting(tmp_path)
