"""The family `static`: what is nearly constant for a symbol and tells it from others, for models pooled over a universe.

Trees read these as any feature; the transformer takes them for static covariates (Lim et al. 2021, 4.3).
"""

from features import indicators as plain
from features import steps
from features.catalog.rows import named, row
from features.catalog.series import LONG, LONG_VOLATILITY, MARKET_RETURN, RETURN, VALUE
from features.feature import Feature
from features.kernels import macro

FEATURES: tuple[Feature, ...] = (
    row("static", "static_sector", "code of the sector, unknown where the sector is", "", macro.level, "sector", "close"),
    named("static", "static_liquidity", "rank in the row, -0.5 to 0.5: mean traded value of span 250",
        "Amihud, Mendelson 1986, J. Financial Economics 17(2)", steps.row_rank(plain.ema(VALUE, LONG))),
    named("static", "static_volatility", "rank in the row, -0.5 to 0.5: volatility of span 250",
        "Ang et al. 2006, J. Finance 61(1)", steps.row_rank(LONG_VOLATILITY)),
    named("static", "static_beta", "slope on the mean log return of the row, 250 bars", "Sharpe 1964, J. Finance 19(3)",
        plain.beta(MARKET_RETURN, RETURN, LONG)),
)  # fmt: skip
