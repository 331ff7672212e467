"""Columns: which one plays which part, told by its name."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from domain.error import UnreadableFile

PRICES = ("open", "high", "low", "close")
SIDES = ("bid", "ask")
QUOTE_BARS = tuple(f"{side}_{price}" for side in SIDES for price in PRICES)

#: The same of German, French, Spanish, Italian and Portuguese downloads, Investing.com's and the exchanges'; accents are dropped.
FOREIGN: dict[str, tuple[str, ...]] = {
    "stamp": ("datum", "fecha", "data", "zeitstempel", "datumzeit", "dateheure", "fechahora"),
    "open": (
        "eroffnung", "eroffnungskurs", "eroffn", "eroeffnung", "erster", "ouverture", "ouv", "apertura", "abertura",
    ),
    "high": ("hoch", "hochst", "hochstkurs", "tageshoch", "haut", "plushaut", "maximo", "max", "massimo", "maxima"),
    "low": ("tief", "tiefst", "tiefstkurs", "tagestief", "bas", "plusbas", "minimo", "min", "minima"),
    "close": (
        "schluss", "schlusskurs", "zuletzt", "letzter", "cloture", "dernier", "cierre", "ultimo", "chiusura", "fechamento",
    ),
    "volume": ("volumen", "stuck", "stucke", "volumes"),
    "symbol": ("kurzel", "simbolo", "symbole"),
}  # fmt: skip

#: Names of columns once lowered and stripped of everything but letters and digits; the first that a file has is taken.
NAMES: dict[str, tuple[str, ...]] = {
    "stamp": (
        "stamp", "ts", "openedat", "opentime", "datetime", "timestamp", "date", "time", "gmttime", "localtime", "timeutc",
        "dateutc", "datetimeutc", "timestamputc", "timeeet", "windowstart", "unix", "unixtime", "t", "indexlevel0", "unnamed0",
        "index", "",
    ),
    "symbol": ("symbol", "ticker", "name", "tic", "pair", "instrument"),
    "open": ("open", "o", "openprice", "1open"),
    "high": ("high", "h", "highprice", "2high"),
    "low": ("low", "l", "lowprice", "3low"),
    "close": ("close", "c", "closeprice", "4close", "closelast", "last"),
    "volume": ("volume", "v", "5volume", "6volume", "tickvolume", "tickvol", "vol"),
    "vwap": ("vwap", "vw"),
    "trades": ("trades", "numberoftrades", "tradecount", "transactions", "count", "n"),
    "price": ("price",),
    "size": ("size", "amount", "quantity", "qty", "volume", "vol"),
    "bid": ("bid", "bidprice"),
    "ask": ("ask", "askprice"),
    **{name: (name.replace("_", ""),) for name in QUOTE_BARS},
}  # fmt: skip

#: Both, the English ones first.
ALIASES = {role: names + FOREIGN.get(role, ()) for role, names in NAMES.items()}

#: What each kind of file must have beside its stamps, in the order in which they are asked.
KINDS: dict[str, tuple[str, ...]] = {
    "bars": PRICES,
    "quote bars": QUOTE_BARS,
    "quotes": SIDES,
    "trades": ("price", "size"),
}

#: What a kind may have beside that.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "bars": ("volume", "vwap", "trades"),
    "quote bars": (),
    "quotes": ("volume",),
    "trades": (),
}

#: Columns that say that stamps are opens: the tidy layout and the exchanges' own.
OPENING = {"stamp", "ts", "openedat", "opentime", "windowstart"}

#: Columns that name the clock of their stamps.
ZONES = {
    "gmttime": "UTC",
    "timeutc": "UTC",
    "dateutc": "UTC",
    "datetimeutc": "UTC",
    "timestamputc": "UTC",
    "timeeet": "Europe/Athens",
}

FOUND_LIMIT = 300


class NotBars(UnreadableFile):
    """A sound file about something else: it is refused, but left out of an archive, whose makers pack what belongs together."""


class Companion(NotBars):
    """What lies beside bars on purpose, a licence or a funding rate: a folder leaves it out too."""


def plain(name: str) -> str:
    """Return a column's name as NAMES spells it: lower case letters without accents, and digits only.

    >>> plain("<Adj Close>"), plain("Eröffn.")
    ('adjclose', 'eroffn')
    """
    bare = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss"))
    return "".join(letter for letter in bare if letter.isalnum())


def roles(columns: Iterable[str]) -> dict[str, str]:
    """Return which column plays which part, by role; a part that no column plays is absent.

    "Price" is the close where there is an open and no close; "Volume BTC" is the volume where none is called just that.
    """
    known: dict[str, str] = {}
    for column in columns:
        # A column of signs alone, "+/- %", is not the nameless one.
        known.setdefault(plain(column) or column.strip(), column)
    found = {role: next((known[alias] for alias in aliases if alias in known), None) for role, aliases in ALIASES.items()}
    part = {role: column for role, column in found.items() if column is not None}
    if "close" not in part and "price" in part and "open" in part:
        part["close"] = part["price"]
    volume = next((column for name, column in known.items() if name.startswith("vol")), None)
    return part if "volume" in part or volume is None else {**part, "volume": volume}


def clock(columns: Iterable[str], part: dict[str, str]) -> str | None:
    """Return the column with the time of day where date and time stand apart, else None."""
    known = {plain(column): column for column in columns}
    return known.get("time") if plain(part["stamp"]) == "date" else None


def day_first(columns: Iterable[str]) -> bool:
    """Say whether the columns are named in a language whose dates write the day before the month."""
    told = {*FOREIGN["stamp"], *FOREIGN["open"], *FOREIGN["close"]} - {"data"}
    return any(plain(column) in told for column in columns)


def stooq(columns: Iterable[str]) -> bool:
    """Say whether a file is one of Stooq's: <TICKER>,<PER>,<DATE>,<TIME>,..."""
    return {"ticker", "per"} <= {plain(column) for column in columns}


def kind(columns: Iterable[str], part: dict[str, str], path: PurePath) -> str:
    """Return one of KINDS; raise NotBars saying which columns were found and which are needed.

    A file with some of the prices of a bar is no file about something else: it raises UnreadableFile, so that no archive is read
    without it.
    """
    name = _kind(part)
    if name is not None:
        return name
    found = ", ".join(repr(column) for column in columns)
    found = found if len(found) <= FOUND_LIMIT else found[:FOUND_LIMIT] + "…"
    raise (UnreadableFile if sum(price in part for price in PRICES) > 1 else NotBars)(
        f"{path} was to be read as bars, but its columns are {found or 'none'}: needed are a date or time with open, high, low "
        "and close (or price and size of trades, or bid and ask of quotes)"
    )


def header(columns: Iterable[str]) -> bool:
    """Say whether these names are those of bars, trades or quotes."""
    return _kind(roles(columns)) is not None


def _kind(part: dict[str, str]) -> str | None:
    complete = (name for name, needed in KINDS.items() if all(role in part for role in needed))
    return next(complete, None) if "stamp" in part else None
