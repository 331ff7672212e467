"""The codes of decisions and verdicts are what is written down: their values are a promise."""

from domain.decision import Outcome, Reason, Rule


def test_nothing_is_zero():
    """A blank array of codes says that nothing was asked and no rule spoke."""
    assert (Reason(0), Outcome(0), Rule(0)) == (Reason.HOLD, Outcome.NONE, Rule.NONE)


def test_codes_count_without_a_gap():
    """A code is its place in the list of names, which is how tables spell it."""
    for codes in (Reason, Outcome, Rule):
        assert [code.value for code in codes] == list(range(len(codes)))
