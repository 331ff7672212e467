"""Symbols: what a file's name says is in it, for files without a symbol column."""

import re
from pathlib import PurePath

from domain.market import Market

#: Words before the symbol: DAT_ASCII_EURUSD_M1_2020 and HISTDATA_COM_ASCII_EURUSD_T202001, Binance_BTCUSDT_1h.
VENDORS = {
    "histdata", "dat", "ascii", "com", "mt", "nt", "xlsx", "ninja",
    "binance", "bitstamp", "bitfinex", "coinbase", "gemini", "kraken", "poloniex",
}  # fmt: skip
EXTENSIONS = {
    "csv", "txt", "tsv", "json", "jsonl", "ndjson", "gz", "bz2", "xz", "tgz", "tbz2", "txz", "tar", "zip", "parquet", "pq",
    "feather", "arrow", "ipc", "prn", "dat",
}  # fmt: skip
#: What a file in a folder of one symbol is called.
PLAIN = {
    "data", "daily", "hourly", "minute", "weekly", "monthly", "ticks", "trades", "quotes", "prices", "history", "historical",
    "ohlc", "ohlcv", "bars", "candles", "klines",
}  # fmt: skip
WORDS = PLAIN | {
    "min", "tick", "trade", "quote", "price", "bar", "candle", "candlestick", "futures", "spot", "bid", "ask", "adjusted", "raw",
    "full", "list", "sample", "part", "copy", "stocks", "etfs", "forex",
}  # fmt: skip
UNITS = "s|m|t|min|mins|minute|minutes|h|hr|hour|hours|d|day|days|w|wk|week|mo|month|y"
LENGTH = re.compile(rf"\d+({UNITS})|[mhdw]\d{{1,2}}|mn1|t\d{{6}}|1440|10080", re.IGNORECASE)
#: MetaTrader writes the length onto the symbol: GBPUSDd1, XAUUSDh4, eurusdM15, and in minutes EURUSD60.
GLUED = re.compile(
    r"([A-Z0-9#.]{3,}(?=[mhdw])|[A-Za-z]{6}(?=[MHDWmhdw\d]))"
    r"((?:[mM]\d{1,2})|[hH][148]|[hH]12|[dD]1|[wW]1|[mM][nN]1|1|5|15|30|60|240|1440|10080)"
)
#: What a browser writes onto the name of a file that it has loaded before: AAPL (1).csv.
AGAIN = re.compile(r"\s*\(\d+\)$")
#: How a folder is named that holds a part of a table: symbol=AAPL.
KEYED = ("symbol=", "ticker=")
PIECE = re.compile(r"[^-_ ]+")


def of(path: PurePath, market: Market) -> str:
    """Return the symbol of a file: its name, upper case, up to the first word that is not part of a symbol.

    Such words are bar lengths (5min, 1d, h4), dates, and `WORDS`: AAPL_data.csv is AAPL, aapl.us.txt AAPL, GBPUSDd1.csv GBPUSD,
    ADABTC-1m-2021-11-28.csv ADABTC. What joins the parts of a symbol stays as it is written, because a pair and its future would
    otherwise meet: ETH_BTC-5m.feather is ETH_BTC and XRP_USDT_USDT-1h-futures.json.gz XRP_USDT_USDT. A file that is named by
    its date or by a word of `PLAIN` takes the only symbol of the market's universe, or the name of the nearest folder that has one.
    """
    parts = [_text(part) for part in reversed(path.parts)]
    keyed = next((part.split("=")[1].upper() for part in parts if part.lower().startswith(KEYED)), "")
    own = keyed or _symbol(_stem(parts[0]), plain=_bare(parts[0]) in PLAIN)
    if own or len(market.symbols) == 1:
        return own or market.symbols[0]
    folders = (_symbol(_bare(part), plain=True) for part in parts[1:])
    return next((name for name in folders if name), _stem(parts[0]).upper())


def _text(part: str) -> str:
    """Read bytes that are no UTF-8, which Python keeps as surrogates, as Latin-1, so that different names stay different."""
    return "".join(chr(ord(letter) - 0xDC00) if 0xDC80 <= ord(letter) <= 0xDCFF else letter for letter in part)


def _bare(name: str) -> str:
    """Strip extensions."""
    parts = name.split(".")
    while len(parts) > 1 and parts[-1].lower() in EXTENSIONS:
        parts.pop()
    return AGAIN.sub("", ".".join(parts))


def _stem(name: str) -> str:
    """Strip extensions, and the country with which Stooq ends its names: brk-b.us.txt."""
    return re.sub(r"(?<=.)\.[a-z]{2}$", "", _bare(name))


def _symbol(stem: str, *, plain: bool) -> str:
    """Return the symbol that a name begins with, else nothing; a single word is one even if it is among WORDS, unless `plain`."""
    glued = GLUED.fullmatch(stem)
    if glued:
        return glued[1].upper()
    pieces = list(PIECE.finditer(stem))
    if len(pieces) > 1 and pieces[0][0].lower() in VENDORS and not plain:
        return next((piece[0] for piece in pieces if piece[0].lower() not in VENDORS), "").upper()
    lone = len(pieces) == 1 and not plain
    while len(pieces) > 1 and _dated(pieces[0][0]):
        pieces.pop(0)
    end = next((i for i, piece in enumerate(pieces) if i and _foreign(piece[0])), len(pieces))
    if not pieces or _dated(pieces[0][0]) or (_foreign(pieces[0][0]) and not lone) or (plain and stem.lower() in EXTENSIONS):
        return ""
    return stem[pieces[0].start() : pieces[end - 1].end()].upper()


def _foreign(piece: str) -> bool:
    return piece.lower() in WORDS or LENGTH.fullmatch(piece) is not None or _dated(piece)


def _dated(piece: str) -> bool:
    """Say whether digits are a day, a month, a year, or a date without separators; other numbers are symbols in Asia."""
    return re.fullmatch(r"\d{1,3}|(19|20)\d\d|(19|20)\d\d(0[1-9]|1[0-2])([0-3]\d)?", piece) is not None
