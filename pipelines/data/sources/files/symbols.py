"""Symbols: what a file's name says is in it, for files without a symbol column."""

import re
from pathlib import PurePath

from domain.market import Market

#: Words before the symbol: HistData calls its files DAT_ASCII_EURUSD_M1_2020 and HISTDATA_COM_ASCII_EURUSD_T202001.
VENDORS = {"histdata", "dat", "ascii", "com", "mt", "xlsx", "ninja"}
EXTENSIONS = {"csv", "txt", "tsv", "json", "gz", "tgz", "tar", "zip", "parquet", "pq", "feather", "arrow", "ipc", "prn", "dat"}
WORDS = {
    "data", "daily", "hourly", "minute", "min", "weekly", "monthly", "tick", "ticks", "trade", "trades", "quote", "quotes",
    "price", "prices", "history", "historical", "ohlc", "ohlcv", "bar", "bars", "candle", "candles", "klines", "futures", "spot",
    "bid", "ask", "adjusted", "raw", "full", "list", "sample",
}  # fmt: skip
UNITS = "s|m|t|min|mins|minute|minutes|h|hr|hour|hours|d|day|days|w|wk|week|mo|month|y"
LENGTH = re.compile(rf"\d+({UNITS})|[mhdw]\d{{1,2}}|mn1|t\d{{6}}", re.IGNORECASE)
#: MetaTrader writes the length onto the symbol: GBPUSDd1, XAUUSDh4, eurusdM15.
GLUED = re.compile(r"([A-Z0-9#.]{3,}(?=[mhdw])|[A-Za-z]{6}(?=[MHDWmhdw]))((?:[mM]\d{1,2})|[hH][148]|[hH]12|[dD]1|[wW]1|[mM][nN]1)")
PIECE = re.compile(r"[^-_ ]+")


def of(path: PurePath, market: Market) -> str:
    """Return the symbol of a file: its name, upper case, up to the first word that is not part of a symbol.

    Such words are bar lengths (5min, 1d, h4), dates, and `WORDS`: AAPL_data.csv is AAPL, aapl.us.txt AAPL, GBPUSDd1.csv GBPUSD,
    ADABTC-1m-2021-11-28.csv ADABTC. What joins the parts of a symbol stays as it is written, because a pair and its future would
    otherwise meet: ETH_BTC-5m.feather is ETH_BTC and XRP_USDT_USDT-1h-futures.json.gz XRP_USDT_USDT. A file that is named by
    its date takes the only symbol of the market's universe, or the name of the nearest folder that has one.
    """
    own = _symbol(_stem(path.name))
    if own or len(market.symbols) == 1:
        return own or market.symbols[0]
    folders = (_symbol(part, folder=True) for part in reversed(path.parts[:-1]))
    return next((name for name in folders if name), _stem(path.name).upper())


def _stem(name: str) -> str:
    """Strip extensions, and the country with which Stooq ends its names: brk-b.us.txt."""
    parts = name.split(".")
    while len(parts) > 1 and parts[-1].lower() in EXTENSIONS:
        parts.pop()
    if len(parts) > 1 and re.fullmatch(r"[a-z]{2}", parts[-1]):
        parts.pop()
    return ".".join(parts)


def _symbol(stem: str, *, folder: bool = False) -> str:
    glued = GLUED.fullmatch(stem)
    if glued:
        return glued[1].upper()
    pieces = list(PIECE.finditer(stem))
    if len(pieces) > 1 and pieces[0][0].lower() in VENDORS:
        return next((piece[0] for piece in pieces if piece[0].lower() not in VENDORS), "").upper()
    lone = len(pieces) == 1 and not folder
    while len(pieces) > 1 and _dated(pieces[0][0]):
        pieces.pop(0)
    end = next((i for i, piece in enumerate(pieces) if i and _foreign(piece[0])), len(pieces))
    if not pieces or _dated(pieces[0][0]) or (_foreign(pieces[0][0]) and not lone):
        return ""
    return stem[pieces[0].start() : pieces[end - 1].end()].upper()


def _foreign(piece: str) -> bool:
    return piece.lower() in WORDS or LENGTH.fullmatch(piece) is not None or _dated(piece)


def _dated(piece: str) -> bool:
    """Say whether digits are a day, a month, a year, or a date without separators; other numbers are symbols in Asia."""
    return re.fullmatch(r"\d{1,3}|(19|20)\d\d|(19|20)\d\d(0[1-9]|1[0-2])([0-3]\d)?", piece) is not None
