"""Numbers: reads written numbers, and turns integer points of a currency pair into decimals."""

from pathlib import PurePath

import polars as pl

from domain.error import UnreadableFile
from domain.market import AssetClass, Market
from pipelines.data.sources.files.columns import PRICES

NOTHING = ["", "nan", "null", "none", "na", "n/a", "#n/a", "-"]
#: 1,234.5 but not 1,5, which is a decimal comma or a field too many.
THOUSANDS = r"^\$?[-+]?\d{1,3}(,\d{3})+(\.\d*)?$"

#: Decimals that brokers quote beyond the point, by base or quote currency; the first under which the price is plausible holds.
DIGITS: dict[str, tuple[int, ...]] = {"XAU": (2, 3), "XAG": (3, 4, 2), "XPT": (2, 3), "XPD": (2, 3), "JPY": (3, 2), "HUF": (3, 2)}
ORDINARY_DIGITS = (5, 4)

#: What a unit of the base has cost in living memory, with room: currencies otherwise.
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "XAU": (200, 10_000),
    "XAG": (2, 200),
    "XPT": (200, 5_000),
    "XPD": (50, 5_000),
    "JPY": (1, 400),
    "HUF": (100, 700),
}
ORDINARY_PLAUSIBLE = (0.001, 900)

#: Points that went through binary fractions on their way: 160374.00000000003 is 160374.
POINT_NOISE = 1e-6


def parse(column: pl.Series, path: PurePath, lines: pl.Series) -> pl.Series:
    """Return floats; nothing, "nan" and "null" are null, "1,234.5", "123.0", "1e3" and "$5" are numbers.

    Raises UnreadableFile naming file, line and field of the first that is none of these.
    """
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    text = column.cast(pl.String).str.strip_chars()
    grouped = text.str.contains(THOUSANDS)
    text = text.set(text.str.to_lowercase().is_in(NOTHING), None).str.strip_prefix("$")
    text = text.zip_with(~grouped.fill_null(False), text.str.replace_all(",", "", literal=True))
    values = text.cast(pl.Float64, strict=False)
    wrong = values.is_null() & text.is_not_null()
    if wrong.any():
        first = int(wrong.arg_true()[0])
        raise UnreadableFile(f"{path}, {lines[first]}: '{column[first]}' in column '{column.name}' is not a number")
    return values


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
    low, high = PLAUSIBLE.get(code, ORDINARY_PLAUSIBLE)
    if median is None or low <= median <= high:
        return 1.0
    powers = (10.0**digits for digits in DIGITS.get(code, ORDINARY_DIGITS))
    return next((power for power in powers if low <= median / power <= high), 1.0)
