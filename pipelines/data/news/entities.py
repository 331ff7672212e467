"""Entities: which symbols a headline is about, by company names, cashtags and exchange tickers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from domain.error import UnreadableFile

TOKEN = re.compile(r"[A-Za-z0-9]+(?:[&'.-][A-Za-z0-9]+)*")
#: "$BRK.B": a ticker beyond doubt.
CASHTAG = re.compile(r"\$([A-Za-z]{1,5}(?:[.-][A-Za-z]{1,2})?)\b")
#: "NYSE: XYZ", "(NASDAQ:AAPL)", "Nasdaq - AAPL".
LISTED = re.compile(
    r"\b(?:NYSE(?: ?(?:MKT|ARCA|AMERICAN))?|NASDAQ(?:GS|GM|CM)?|AMEX|OTC(?:QB|QX|BB)?|TSXV?|LSE|BSE|NSE|HEL|CBOE)\s*[:\-]\s*"
    r"([A-Z0-9]{1,6}(?:[.-][A-Z]{1,2})?)\b", re.IGNORECASE,
)  # fmt: skip
#: "(AAPL)", "(NEM, GLD, GDX)": upper case in brackets.
BRACKETED = re.compile(r"\(([A-Z]{1,5}(?:[.-][A-Z]{1,2})?(?:\s*[,;/]\s*[A-Z]{1,5}(?:[.-][A-Z]{1,2})?)*)\)")
#: A ticker of this many letters or more stands for itself in upper case, unless it is also a word.
BARE_MIN = 3
#: The shortest part of a name that may stand for the whole.
PART_MIN = 4


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Forms of companies and shares that nobody says in a headline.
FORMS = _words("""
    ab adr ads ag as asa bhd bv class co common companies company corp corporation etf fund gmbh group holding holdings inc
    incorporated kgaa limited llc llp lp ltd nv ordinary oy oyj plc pte pty reit sa se share shares spa sponsored stock tbk the
    trust
""")  # fmt: skip
#: First words of many names: alone they name none of them.
COMMON = _words("""
    advance advanced advantage alliance allied america american applied asia asian associated atlantic atlas bank best big black
    blue canadian capital central century china chinese city clean cloud coast community consolidated continental core crown
    delta digital diversified dynamic eagle east eastern energy enterprise enterprises european express federal fidelity
    financial first five focus food four free future general global gold golden government great green group growth gulf health
    healthcare heritage high home imperial independent india indian industrial industries infrastructure innovative insurance
    integrated international investment investments japan king land liberty life light live local major marine market media
    medical metro mobile modern money mutual national natural network networks new next north northern ocean office open orient
    pacific peoples petroleum pioneer planet platinum power precision premier prime public pure quality rapid real red regional
    reliance republic resource resources retail river royal safe savings science security select service services silver sky
    smart software solar solutions south southern standard star state states steel sterling strategic summit sun super superior
    target tech technologies technology telecom three total trade transport tri twin two union united universal universe urban
    us usa value victory vision vital water west western white wide world yellow
""")  # fmt: skip
#: Upper-case words of headlines that are tickers as well.
AMBIGUOUS = _words("""
    ADD AGE AI AIR ALL AM AN ANY APP ARE ARM ART AS AT ATM BAR BE BEST BIG BIT BOE BOX BUY BY CAN CAR CASH CAT CEO CFO COO COST
    CPI CTO DAY DO DOW EAR EAST EAT ECB EDIT EPS ESG EST ET ETF EU EV EVER EYE FAST FDA FED FIVE FLY FOR FREE FTC FUN FX FY GAIN
    GAP GDP GE GO GOLD GOOD GROW HAS HE HEAR HERO HES HIGH HOME HOPE ICE IMF IMO IN INC IPO IRS IT JOB JOE KEY KEYS LEND LIFE
    LINE LIVE LOAN LOVE LOW LTD MA MAN MAX MEET MEN MORE MOVE NEW NEWS NEXT NICE NO NOT NOW NY NYC NYSE OIL OLD ON ONE ONLY OPEN
    OR OUT OWN PAY PE PEAK PLAN PLAY PLUS PM POST PPI PR PT PUMP Q QE RACE RARE REAL RED RICH RIDE RIO RISE RUN SAFE SAIL SALE
    SAVE SEC SEE SELF SHIP SHOP SITE SKY SNAP SO SON STAY SUN TALK TALL TAX TEAM TECH TELL THE TIPS TO TOP TOWN TREE TRUE TV TWO
    UK UN UP US USA USD VERY VIA VS WAR WASH WAVE WAY WE WELL WIN WIND WINS WORK YEAR YES YOU
""")  # fmt: skip


@dataclass(frozen=True)
class Entities:
    """Symbols with the names that headlines call them by."""

    tickers: frozenset[str]
    names: Mapping[str, Sequence[tuple[tuple[str, ...], str, bool]]] = field(default_factory=dict)
    """By first word: all words of a name, the symbol, and whether the name must be written with capitals; longest names first."""

    def link(self, headline: str) -> tuple[str, ...]:
        """Return the symbols that a headline names, each once, in the order of their first mention.

        A cashtag, an exchange's ticker and a company's name are evidence; a bare ticker only in upper case, in a headline that is
        not all upper case, and only when it is neither short nor a word.
        """
        found = [*self._marked(headline), *self._named(headline)]
        return tuple(dict.fromkeys(symbol for _, symbol in sorted(found, key=lambda mention: mention[0])))

    def _marked(self, headline: str) -> Iterable[tuple[int, str]]:
        for pattern in (CASHTAG, LISTED, BRACKETED):
            for match in pattern.finditer(headline):
                for ticker in re.split(r"\s*[,;/]\s*", match[1].upper()):
                    if ticker in self.tickers:
                        yield match.start(1), ticker

    def _named(self, headline: str) -> Iterable[tuple[int, str]]:
        tokens = list(TOKEN.finditer(headline))
        cased = headline.upper() != headline
        place = 0
        while place < len(tokens):
            length, symbol = self._name(tokens, place, cased)
            word = tokens[place][0]
            if symbol is not None:
                yield tokens[place].start(), symbol
            elif cased and len(word) >= BARE_MIN and word in self.tickers and word not in AMBIGUOUS:
                yield tokens[place].start(), word
            place += length

    def _name(self, tokens: list[re.Match[str]], place: int, cased: bool) -> tuple[int, str | None]:
        """Return how many words the name that begins here takes, and whose it is: one word and nobody's where none does."""
        for words, symbol, proper in self.names.get(_plain(tokens[place][0]), ()):
            there = [token[0] for token in tokens[place : place + len(words)]]
            capitals = not (proper and cased) or all(word[0].isupper() or word[0].isdigit() for word in there)
            if tuple(map(_plain, there)) == words and capitals:
                return len(words), symbol
        return 1, None


def build(table: pl.DataFrame) -> Entities:
    """Return what links headlines to the symbols of a table: `symbol`, and where given `name` and `aliases` (parted by |).

    A name also counts without its form of company, and by its first word where that is telling and no other symbol's.
    """
    whole: dict[tuple[str, ...], set[str]] = defaultdict(set)
    parts: dict[tuple[str, ...], set[str]] = defaultdict(set)
    small: set[tuple[str, ...]] = set()
    for row in table.iter_rows(named=True):
        for name in [row.get("name") or "", *(row.get("aliases") or "").split("|")]:
            words = _bare(name)
            if words:
                whole[words].add(row["symbol"])
                small |= {words} if name == name.lower() else set()
                if len(words) > 1 and len(words[0]) >= PART_MIN and words[0] not in COMMON:
                    parts[words[:1]].add(row["symbol"])
    known = {words: symbols for words, symbols in whole.items() if len(symbols) == 1}
    known |= {words: symbols for words, symbols in parts.items() if len(symbols) == 1 and words not in whole}
    names: dict[str, list[tuple[tuple[str, ...], str, bool]]] = defaultdict(list)
    for words in sorted(known, key=lambda words: (-len(words), words)):
        names[words[0]].append((words, next(iter(known[words])), words not in small))
    return Entities(frozenset(table["symbol"].to_list()), dict(names))


def read(path: Path) -> Entities:
    """Read a CSV of symbols with their names; raise UnreadableFile when it is not one."""
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise UnreadableFile(
            f"names of symbols were asked from {path}, but it is no CSV ({' '.join(str(problem).split())})"
        ) from None
    if not {"symbol", "name"} <= set(table.columns):
        raise UnreadableFile(
            f"names of symbols were asked from {path}, but it has the columns {', '.join(table.columns)}: "
            "symbol and name are needed, aliases parted by | are welcome"
        )
    return build(table.drop_nulls("symbol"))


def _plain(word: str) -> str:
    return word.lower().removesuffix("'s").replace(".", "").replace("'", "")


def _bare(name: str) -> tuple[str, ...]:
    """Return a name's words without the company's form at its end, and without an article."""
    words = [_plain(token[0]) for token in TOKEN.finditer(name)]
    while len(words) > 1 and words[-1] in FORMS:
        words.pop()
    return tuple(words[1:] if len(words) > 1 and words[0] == "the" else words)
