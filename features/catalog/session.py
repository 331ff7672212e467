"""The session and the calendar: where a bar lies in its day, its week, its month, and what the session has done so far."""

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.feature import Feature
from features.kernels import session

_SESSION = steps.sessions()
_PLACES = steps.step("places", session.places, "event_at", "close", parts=4)


def _row(name: str, meaning: str, feature: Feature, source: str = "") -> Feature:
    return named("session", name, meaning, source, feature)


FEATURES: tuple[Feature, ...] = (
    _row("minutes_since_open", "minutes from the session's open to the bar's close", steps.part(_SESSION, 0)),
    _row(
        "minutes_until_close",
        "minutes to the session's close: until_close, or as long as the session before (unknown in a symbol's first session)",
        steps.part(_SESSION, 1, 1),
    ),
    _row("first_bar", "1 on the session's first bar, else 0", steps.part(_SESSION, 2)),
    _row(
        "overnight_gap",
        "log of the session's open over the close before it (unknown in a symbol's first session)",
        steps.part(_SESSION, 3, 1),
        "Lou, Polk, Skouras 2019, J. Financial Economics 134(1)",
    ),
    _row(
        "return_since_open",
        "log close over the session's open",
        steps.part(_SESSION, 4),
        "Lou, Polk, Skouras 2019, J. Financial Economics 134(1)",
    ),
    _row("bars_of_gap", "time since the bar before in lengths of this bar; 0 where they touch", steps.part(_SESSION, 5, 1)),
    _row(
        "session_volume",
        "log of the session's volume so far over what is usual at this quarter of an hour (unknown in a symbol's first session)",
        plain.logarithm(steps.volume_clock(15, 96, 0.05)),
        "Admati, Pfleiderer 1988, Rev. Financial Studies 1(1)",
    ),
    _row("weekday", "day of the week, 0 on Monday", steps.part(_PLACES, 0), "French 1980, J. Financial Economics 8(1)"),
    _row(
        "month_place",
        "place in the month, 0 on the first day to 1 on the last",
        steps.part(_PLACES, 1),
        "Ariel 1987, J. Financial Economics 18(1)",
    ),
    _row("quarter_place", "place in the quarter, 0 on the first day to 1 on the last", steps.part(_PLACES, 2)),
    _row(
        "days_to_month_turn",
        "days to the nearest first or last day of a month",
        steps.part(_PLACES, 3),
        "Lakonishok, Smidt 1988, Rev. Financial Studies 1(4)",
    ),
)
