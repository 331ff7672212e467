"""The family `macro`: rates, spreads, volatility, oil and inflation, as published by each bar's close.

A row has the same value for every symbol that has a bar; NaN before a series' first publication. COVARIATES names what the join of
series to a panel has to bring.
"""

from features import indicators as plain
from features.catalog.rows import named, row
from features.feature import Feature
from features.kernels import macro

#: The levels and statistics of published series that these features read.
COVARIATES = (
    "macro_treasury_3m", "macro_treasury_2y", "macro_treasury_10y", "macro_corporate_aaa", "macro_corporate_baa", "macro_vix",
    "macro_vix_rank", "macro_index_volatility", "macro_index_return", "macro_oil_return", "macro_inflation",
    "macro_inflation_surprise",
)  # fmt: skip


def _level(covariate: str) -> Feature:
    return plain.pointwise(f"{covariate}_level", macro.level, covariate, "close")


def _spread(name: str, above: str, below: str) -> Feature:
    return plain.pointwise(name, macro.spread, above, below, "close")


_TERM = _spread("macro_term_spread", "macro_treasury_10y", "macro_treasury_3m")
_TERM_2Y = _spread("macro_term_spread_2y", "macro_treasury_10y", "macro_treasury_2y")
_CREDIT = _spread("macro_credit_spread", "macro_corporate_baa", "macro_corporate_aaa")
_SHORT, _LONG = _level("macro_treasury_3m"), _level("macro_treasury_10y")
_LOG_VIX = plain.logarithm(_level("macro_vix"))
_YIELDS = "US Treasury par yields; Estrella, Hardouvelis 1991, J. Finance 46(2)"
_MOODYS = "Moody's; Fama, French 1989, J. Financial Economics 25(1)"
_CBOE = "Cboe VIX; Whaley 2000, J. Portfolio Management 26(3)"
_BLS = "US Bureau of Labor Statistics, CPI less food and energy"

FEATURES: tuple[Feature, ...] = (
    named("macro", "macro_term_spread", "10-year less 3-month Treasury yield, percent", _YIELDS, _TERM),
    named("macro", "macro_term_spread_2y", "10-year less 2-year Treasury yield, percent", _YIELDS, _TERM_2Y),
    named("macro", "macro_term_spread_change_20", "its change over 20 bars", _YIELDS, plain.change(_TERM, 20)),
    named("macro", "macro_short_rate_change_20", "change of the 3-month yield over 20 bars", _YIELDS, plain.change(_SHORT, 20)),
    named("macro", "macro_long_rate_change_5", "change of the 10-year yield over 5 bars", _YIELDS, plain.change(_LONG, 5)),
    named("macro", "macro_long_rate_change_20", "change of the 10-year yield over 20 bars", _YIELDS, plain.change(_LONG, 20)),
    named("macro", "macro_credit_spread", "yield of Baa less Aaa corporate bonds, percent", _MOODYS, _CREDIT),
    named("macro", "macro_credit_spread_change_60", "its change over 60 bars", _MOODYS, plain.change(_CREDIT, 60)),
    named("macro", "macro_log_vix", "log of the VIX", _CBOE, _LOG_VIX),
    named("macro", "macro_log_vix_change_5", "its change over 5 bars", _CBOE, plain.change(_LOG_VIX, 5)),
    row("macro", "macro_vix_year_rank", "rank of the VIX in its last 252 closes, -0.5 to 0.5", _CBOE, macro.level, "macro_vix_rank",
        "close"),
    row("macro", "macro_vix_premium", "VIX less the index's volatility of 21 closes, percent a year",
        "Bollerslev, Tauchen, Zhou 2009, RFS 22(11)", macro.spread, "macro_vix", "macro_index_volatility", "close"),
    row("macro", "macro_index_return_20", "log return of the S&P 500 over 20 closes", "", macro.level, "macro_index_return",
        "close"),
    row("macro", "macro_oil_return_20", "log change of crude oil over 20 prices", "", macro.level, "macro_oil_return", "close"),
    row("macro", "macro_core_inflation", "log change of core prices over 12 months", _BLS, macro.level, "macro_inflation", "close"),
    row("macro", "macro_core_inflation_surprise", "last month's log change less the mean of the 12 before, in their deviations",
        _BLS, macro.level, "macro_inflation_surprise", "close"),
)  # fmt: skip
