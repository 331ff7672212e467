"""Numbers: reads written numbers, and turns integer points of a currency pair into decimals."""

from pathlib import PurePath

import polars as pl

from domain.error import UnreadableFile
from domain.market import AssetClass, Market
from pipelines.data.sources.files.columns import PRICES

NOTHING = ["", "nan", "null", "none", "na", "n/a", "#n/a", "-", "--"]
#: What people write around a number: money, and the blanks and apostrophes with which some countries group thousands.
AROUND = r"[$€£\s\u00a0\u202f'’]"
#: 1,234.5 but not 1,5, which is a decimal comma or a field too many.
THOUSANDS = r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$"
#: 1.234,5 and 1234,5, where the rest of the file shows that the comma is the decimal one.
CONTINENTAL = r"^[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d*)?$"
#: Forms that only one of the two customs has.
COMMA_ONLY = r"^[-+]?((\d+|\d{1,3}(\.\d{3})+),(\d{1,2}|\d{4,})|\d{1,3}(\.\d{3})+,\d+|0\d*,\d+|\d{1,3}(\.\d{3}){2,})$"
POINT_ONLY = r"^[-+]?((\d+|\d{1,3}(,\d{3})+)\.(\d{1,2}|\d{4,})|\d{1,3}(,\d{3})+\.\d+|0\d*\.\d+|\d{1,3}(,\d{3}){2,})$"
EITHER = r"^[-+]?\d{1,3},\d{3}$"
#: Volumes as Investing.com rounds them.
SUFFIXES = {"k": "e3", "m": "e6", "b": "e9", "t": "e12"}

#: Decimals that brokers quote beyond the point, by base or quote currency; the first under which the price is plausible holds.
DIGITS: dict[str, tuple[int, ...]] = {
    "XAU": (2, 3), "XAG": (3, 4, 2), "XPT": (2, 3), "XPD": (2, 3), "BTC": (2,), "ETH": (2,),
    "JPY": (3, 2), "HUF": (3, 2), "THB": (3, 2), "INR": (3, 2), "CZK": (3, 4, 5), "KRW": (2, 3),
}  # fmt: skip
ORDINARY_DIGITS = (5, 4)

#: What a unit of the base has cost in living memory, with room, by pair or as DIGITS; currencies otherwise. A pair is here
#: so that the points of brokers with a decimal less are not taken for a tenth of its price.
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "EURUSD": (0.7, 1.8), "GBPUSD": (0.9, 2.3), "AUDUSD": (0.4, 1.3), "NZDUSD": (0.35, 1.1), "USDCAD": (0.8, 1.8),
    "USDCHF": (0.6, 2.0), "EURGBP": (0.5, 1.2), "EURCHF": (0.8, 1.9), "USDJPY": (65, 400), "EURJPY": (80, 400),
    "GBPJPY": (100, 600), "AUDJPY": (45, 200), "CADJPY": (60, 200), "CHFJPY": (60, 300), "NZDJPY": (35, 150),
    "XAU": (200, 10_000), "XAG": (2, 200), "XPT": (200, 5_000), "XPD": (50, 5_000), "BTC": (50, 500_000), "ETH": (5, 20_000),
    "JPY": (1, 400), "HUF": (100, 700), "THB": (20, 60), "INR": (20, 150), "CZK": (10, 50), "KRW": (700, 2_500),
}  # fmt: skip
ORDINARY_PLAUSIBLE = (0.001, 900)

#: Points that went through binary fractions on their way: 160374.00000000003 is 160374.
POINT_NOISE = 1e-6


def parse(column: pl.Series, path: PurePath, lines: pl.Series, *, comma: bool = False) -> pl.Series:
    """Return floats; nothing, "nan" and "null" are null, "1,234.5", "123.0", "1e3", "$5", "1 234" and "1.2M" are numbers.

    With `comma` it is the decimal one: "1.234,5". Raises UnreadableFile naming file, line and field of the first that is no number.
    """
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    plain = column.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
    if not comma and plain.is_finite().fill_null(value=False).all():
        return plain
    text, exponent = _split(column)
    if comma:
        points = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        # What is written otherwise is left to be refused: without its point 1.5 would be 15.
        text = points.zip_with(text.str.contains(CONTINENTAL).fill_null(value=False), text.set(text.is_not_null(), "?"))
    else:
        grouped = text.str.contains(THOUSANDS).fill_null(value=False)
        text = text.zip_with(~grouped, text.str.replace_all(",", "", literal=True))
    values = (text + exponent).cast(pl.Float64, strict=False)
    wrong = values.is_null() & text.is_not_null()
    if wrong.any():
        first = int(wrong.arg_true()[0])
        raise UnreadableFile(f"{path}, {lines[first]}: '{column[first]}' in column '{column.name}' is not a number")
    return values


def decimal_comma(columns: list[pl.Series], *, usual: bool) -> bool:
    """Say whether a file writes its decimals with a comma: a number shows it, and none shows a point.

    Where every comma stands before three digits, as in 109,123, `usual` says that those of the first column are decimal.
    """
    written = [column for column in columns if column.dtype == pl.String]
    if not any(column.str.contains(",", literal=True).any() for column in written):
        return False
    texts = [_split(column)[0] for column in written]
    if any(text.str.contains(POINT_ONLY).any() for text in texts):
        return False
    shown = any(text.str.contains(COMMA_ONLY).any() for text in texts)
    return shown or (usual and bool(texts) and bool(texts[0].str.contains(EITHER).any()))


def _split(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the digits and the exponent of written numbers, the first null where nothing is written."""
    text = column.cast(pl.String).str.replace_all(AROUND, "").str.to_lowercase()
    text = text.set(text.is_in(NOTHING), None)
    suffix = text.str.extract(r"^[-+]?[\d.,]+([kmbt])$", 1)
    return text.str.replace(r"^([-+]?[\d.,]+)[kmbt]$", "${1}"), suffix.replace(SUFFIXES).fill_null("")


def decimals(rows: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Divide integer points by their power of ten, symbol by symbol, in an FX market.

    Points are recognised when every price of the symbol is whole, but for noise that is rounded off, and their median is no
    plausible price of that pair; the power is the broker's usual number of decimals (5; 3 with yen; gold 2 or 3, whichever
    gives a plausible price).
    """
    if market.asset_class is not AssetClass.FX:
        return rows
    whole = pl.all_horizontal((_off_whole(price) < POINT_NOISE).all() for price in PRICES)
    facts = rows.group_by("symbol", maintain_order=True).agg(whole=whole, median=pl.col("close").fill_nan(None).median())
    scales = {row["symbol"]: _scale(row["symbol"], row["median"]) for row in facts.iter_rows(named=True) if row["whole"]}
    if not any(scale != 1.0 for scale in scales.values()):
        return rows
    scale = pl.col("symbol").replace_strict(scales, default=1.0, return_dtype=pl.Float64)
    points = (pl.when(scale != 1.0).then(pl.col(name).round()).otherwise(pl.col(name)) for name in PRICES)
    return divided(rows.with_columns(points), rows.select(scale).to_series())


def divided(rows: pl.DataFrame, scale: pl.Series) -> pl.DataFrame:
    """Return rows with prices and vwap over `scale`, correctly rounded: polars multiplies by the inverse of a scalar."""
    by = scale.to_numpy()
    prices = [pl.Series(name, rows[name].to_numpy() / by).set(rows[name].is_null(), None) for name in (*PRICES, "vwap")]
    return rows.with_columns(prices)


def _off_whole(price: str) -> pl.Expr:
    return (pl.col(price) - pl.col(price).round()).abs().fill_nan(0.0).fill_null(0.0)


def _scale(symbol: str, median: float | None) -> float:
    pair = "".join(letter for letter in symbol.upper() if letter.isalnum())[:6]
    code = next((code for code in DIGITS if pair.startswith(code)), pair[3:])
    low, high = PLAUSIBLE.get(pair, PLAUSIBLE.get(code, ORDINARY_PLAUSIBLE))
    if median is None or low <= median <= high:
        return 1.0
    powers = (10.0**digits for digits in DIGITS.get(code, ORDINARY_DIGITS))
    return next((power for power in powers if low <= median / power <= high), 1.0)
