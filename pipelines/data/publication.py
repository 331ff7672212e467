"""Publication: when the value of a series for a day, a month or a quarter could first be read.

Series are kept by the period that they describe, and that is days to weeks before anybody knew them. Each rule here is the latest
usual publication: a value may be known for some days before a panel shows it, and is never shown before it was known.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from domain.error import DataError

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Rule:
    """When series of one kind are published, in New York."""

    pattern: str
    """Of the series' whole name, whatever its case."""
    unit: Literal["day", "business day", "month"]
    """What is counted after the observation; months end on their last day."""
    count: int
    at: time
    reason: str


#: The first rule that fits counts.
RULES: tuple[Rule, ...] = (
    Rule(r"UST_\d+(month|year)|DGS\d+(MO)?|DTB\d+|T10Y\w+", "business day", 1, time(16, 15),
         "Treasury par yields come after the close of the same day, FRED's H.15 on the next business day at 16:15"),
    Rule(r"DFF|SOFR|EFFR|DAAA|DBAA|BAML\w+|DTWEX\w+|DEX\w+", "business day", 2, time(16, 15),
         "published on the next business day; FRED now and then a day later"),
    Rule(r"VIX|VIXCLS|VXN|VXV|VIX3M|VIX9D|\^VIX", "day", 0, time(18),
         "Cboe computes the close at 16:15 and publishes it in the evening: the close at 16:00 does not know it"),
    Rule(r"SP500|SP500_CLOSE|SPX|\^GSPC|COMP|NASDAQCOM|DJIA|SPY_TOTAL_RETURN_1D|FACTOR_ETF_\w+", "day", 0, time(18),
         "official closes of the session, final in the evening"),
    Rule(r"DCOILWTICO|DCOILBRENTEU|DHHNGSP", "day", 9, time(18),
         "EIA publishes daily spot prices every Wednesday, up to and with Monday's: 9 days at most"),
    Rule(r"WTI_SPOT|BRENT_SPOT|MCOIL\w+|POIL\w+", "month", 1, time(18),
         "monthly means of EIA and IMF come in the middle of the next month"),
    Rule(r"MOODYS_(AAA|BAA)|AAA|BAA|GS\d+(M)?|TB3MS|FEDFUNDS", "month", 1, time(18),
         "monthly means come in the first days of the next month; its end, since the day is not recorded"),
    Rule(r"CPI\w*|PPI\w*|PCEPI\w*|UNRATE|PAYEMS|INDPRO|RSAFS|RSXFS|HOUST|PERMIT|M2SL|UMCSENT", "month", 1, time(18),
         "BLS publishes the CPI at 08:30 between the 10th and the 26th of the next month (30 October 2013 after the shutdown); "
         "the other statistics come within the next month as well"),
    Rule(r"GDP\w*", "month", 4, time(18),
         "stamped with the quarter's first month; the advance estimate comes a month after the quarter, a shutdown adds another"),
)  # fmt: skip


@functools.cache
def rule(series: str) -> Rule:
    """Return the rule of a series; raise DataError for one that has none: any guess could show it before it was known."""
    for found in RULES:
        if re.fullmatch(found.pattern, series, re.IGNORECASE):
            return found
    raise DataError(
        f"series '{series}' was to be imported by its observation dates, but nothing says how long after them it is published: "
        "give the file a column known_at, or add a rule to pipelines/data/publication.py"
    )


def known_at(series: str, observed: date) -> datetime:
    """Return the moment, aware, in UTC, from which an observation counts as known. Raises DataError as `rule` does."""
    return _published(rule(series), observed)


@functools.cache
def _published(found: Rule, observed: date) -> datetime:
    if found.unit == "day":
        day = observed + timedelta(days=found.count)
    elif found.unit == "business day":
        day = _business_days_after(observed, found.count)
    else:
        day = _month_end_after(observed, found.count)
    return datetime.combine(day, found.at, NEW_YORK).astimezone(UTC)


def _business_days_after(day: date, count: int) -> date:
    return np.busday_offset(day, count, roll="backward", holidays=_holidays()).item()  # type: ignore[return-value]


@functools.cache
def _holidays() -> npt.NDArray[np.datetime64]:
    """Return the days on which the Treasury and the Federal Reserve publish nothing."""
    from pandas.tseries.holiday import USFederalHolidayCalendar

    return np.asarray(USFederalHolidayCalendar().holidays("1950-01-01", "2100-12-31").to_numpy("datetime64[D]"))


def _month_end_after(day: date, months: int) -> date:
    """Return the last day of the month that is `months` after the day's own."""
    place = day.year * 12 + day.month - 1 + months + 1
    return date(place // 12, place % 12 + 1, 1) - timedelta(days=1)
