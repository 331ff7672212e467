"""Every fault of the catalogue has a test, or a reason why it has none; and the page says which."""

from tests import faults


def test_every_fault_has_a_test_or_a_reason_and_never_both():
    """A reason that a test has overtaken goes away, and a mark names a fault that there is."""
    tested, told = faults.marked().keys(), faults.REASONS.keys()
    assert tested <= faults.CATALOGUE.keys()
    assert not tested & told
    assert faults.CATALOGUE.keys() - tested == told


def test_the_page_is_what_the_marks_make_of_it():
    """`python -m tests.faults > docs/faults.md` makes it anew."""
    assert faults.PAGE.read_text(encoding="utf-8") == faults.page()
