"""Questions: what Bloomberg is asked, so that it answers as published: unadjusted, in UTC, trading days alone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from domain.error import ConfigurationError
from domain.market import AssetClass, Market
from pipelines.data.sources.bloomberg.terminal import Question

#: Our columns by Bloomberg's fields.
DAY_FIELDS = {"PX_OPEN": "open", "PX_HIGH": "high", "PX_LOW": "low", "PX_LAST": "close", "PX_VOLUME": "volume"}
#: Prices as they were printed: adjusted neither for cash nor for splits, whatever the terminal's own settings (DPDF) say.
RAW = {"adjustmentNormal": False, "adjustmentAbnormal": False, "adjustmentSplit": False, "adjustmentFollowDPDF": False}
#: Bloomberg keeps bars of minutes and ticks for 140 trading days.
INTRADAY_DAYS = 196
BEGINNING = date(1900, 1, 1)
#: Longest bars that start on the open of any exchange: an open at half past would be put into the hour before.
MINUTES_MAX = 30
#: What follows the ticker of a whole security.
YELLOW_KEYS = ("Equity", "Index", "Curncy", "Comdty", "Corp", "Govt", "Mtge", "Muni", "Pfd", "M-Mkt")


def security(symbol: str, yellow_key: str) -> str:
    """Return the name of a symbol at Bloomberg: itself where it is whole ("EURUSD Curncy"), with `yellow_key` added otherwise."""
    return symbol if symbol.endswith(tuple(f" {key}" for key in YELLOW_KEYS)) else f"{symbol} {yellow_key}"


def days(name: str, since: datetime | None, until: datetime) -> Question:
    """Ask for daily bars of one security, both dates included."""
    first = BEGINNING if since is None else since.astimezone(UTC).date() - timedelta(days=1)
    content = {
        "securities": [name],
        "fields": list(DAY_FIELDS),
        "startDate": f"{first:%Y%m%d}",
        "endDate": f"{until.astimezone(UTC).date() + timedelta(days=1):%Y%m%d}",
        "periodicitySelection": "DAILY",
        "periodicityAdjustment": "ACTUAL",
        "nonTradingDayFillOption": "ACTIVE_DAYS_ONLY",
        **RAW,
    }
    return Question("HistoricalDataRequest", content, name)


def minutes(name: str, market: Market, since: datetime, until: datetime) -> Question:
    """Ask for bars of minutes of one security; a currency, which has no trades, by its bids."""
    content = {
        "security": name,
        "eventType": "BID" if market.asset_class is AssetClass.FX else "TRADE",
        "interval": min(int(market.bar.total_seconds()) // 60, MINUTES_MAX),
        "startDateTime": since.astimezone(UTC),
        "endDateTime": until.astimezone(UTC),
        "gapFillInitialBar": False,
        **RAW,
    }
    return Question("IntradayBarRequest", content, name)


def ticks(name: str, kinds: list[str], since: datetime, until: datetime) -> Question:
    """Ask for single events of one security: TRADE, or BID and ASK."""
    content = {
        "security": name,
        "eventTypes": kinds,
        "startDateTime": since.astimezone(UTC),
        "endDateTime": until.astimezone(UTC),
        "includeConditionCodes": True,
        "includeExchangeCodes": True,
    }
    return Question("IntradayTickRequest", content, name)


def facts(names: list[str], fields: list[str], overrides: dict[str, str]) -> Question:
    """Ask for what is known of securities."""
    content = {
        "securities": names,
        "fields": fields,
        "overrides": [{"fieldId": name, "value": value} for name, value in overrides.items()],
    }
    return Question("ReferenceDataRequest", content, ", ".join(names))


def refuse_weeks(market: Market) -> None:
    """Raise ConfigurationError for bars longer than a day, whose weeks would be Bloomberg's own."""
    if market.bar > timedelta(days=1):
        raise ConfigurationError(
            f"market '{market.name}' asks Bloomberg for {market.timeframe} bars: set markets.{market.name}.stored to 1d, and they "
            "are made of those"
        )


def earliest(market: Market, since: datetime | None, now: datetime, what: str) -> datetime:
    """Return from when on to ask for what Bloomberg keeps for a while; raise ConfigurationError for what is older."""
    first = now - timedelta(days=INTRADAY_DAYS)
    if since is not None and since < first:
        raise ConfigurationError(
            f"market '{market.name}' asks Bloomberg for {what} from {since:%Y-%m-%d %H:%M} on; it keeps them for 140 trading days: "
            f"ask from {first:%Y-%m-%d %H:%M} on, or for daily bars"
        )
    return first if since is None else since


def by_day(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield UTC days that together cover a stretch, from midnight on: ticks of longer stretches may be too many for an answer."""
    begin = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while begin <= until:
        end = begin + timedelta(days=1)
        yield begin, end - timedelta(microseconds=1)
        begin = end
