"""Commands reach the trader whole, in order, and are refused when they are none."""

import pytest

from pipelines.execution import commands
from pipelines.execution.core.events import Commanded, Garbled
from pipelines.execution.live import spoken


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


@pytest.mark.fault("F106", "F113")
@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("stop.json", "{}", "names are a time, then one of halt, resume"),
        (f"{1:020d}-halt.json", "{", "cannot be read"),
        (f"{1:020d}-resume.json", "[]", "cannot be read"),
        (
            f"{1:020d}-halt.json",
            '{"form": 2, "actor": "al", "reason": "", "told": {}}',
            "it is written in form 2, this version reads form 1",
        ),
        (f"{1:020d}-resume.json", '{"actor": "al", "reason": "", "told": {}}', "cannot be read ('form')"),
    ],
)
def test_what_may_have_been_a_halt_is_one(tmp_path, name, text, sentence):
    """A file that cannot be read, or of another version, halts the trader, which goes on; the file is kept aside."""
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / name).write_text(text)
    (found,) = commands.waiting(tmp_path)
    said = spoken(found, 0)
    commands.remove(tmp_path, [found])

    assert isinstance(said, Commanded)
    assert said.halt
    assert sentence in said.reason
    assert (tmp_path / "unread" / name).read_text() == text
    assert not list(folder.iterdir())


@pytest.mark.fault("F106")
@pytest.mark.parametrize("text", ["{", '{"form": 1, "actor": "al", "reason": "", "told": {"symbol": "AAA", "quantity": "many"}}'])
def test_another_word_that_cannot_be_understood_is_answered(tmp_path, text):
    """It asks for no halt: whoever left it is told, and the trader goes on."""
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / f"{1:020d}-order.json").write_text(text)
    (found,) = commands.waiting(tmp_path)
    said = spoken(found, 0)

    assert isinstance(said, Garbled)
    assert found.identity in said.reason
