"""WorldQuant's alphas (Kakushadze 2016, 101 Formulaic Alphas, arXiv:1601.00991, appendix A), as far as bars and sectors carry them.

- Lengths that are no whole numbers are rounded down, as the paper says (A.1). `rank` and `ts_rank` lie in (0, 1], equal values
  sharing their mean rank; deviations and covariances are those of the population.
- Where there is no `vwap` it is the typical price; `sector` stands for every one of the paper's industry classes.
- The paper compares shares with `adv`, which is money. Here `value` (vwap * volume) takes the place of `volume` beside an `adv`.
- A formula that adds up or compares amounts of money is divided by the close; its constants hold for a price of 100 (FREE).
- Left out: 45 (a correlation of two bars is 1 or -1 but for rounding) and 56 (it needs market capitalisation).
"""

from features import steps
from features.catalog.rows import named
from features.feature import Feature
from features.formula import (
    Expression,
    column,
    correlation,
    covariance,
    decay_linear,
    delay,
    delta,
    indneutralize,
    larger,
    log,
    magnitude,
    mean,
    rank,
    root,
    scale,
    sign,
    smaller,
    stddev,
    ts_argmax,
    ts_argmin,
    ts_max,
    ts_min,
    ts_rank,
    ts_sum,
    where,
)

#: Formulas whose amounts of money were made free of scale.
FREE = (1, 9, 12, 18, 23, 24, 28, 41, 46, 49, 51, 52, 57, 83, 84, 101)

open_, high, low, close, volume = (column(name) for name in ("open", "high", "low", "close", "volume"))
vwap = Expression(steps.vwap(), "vwap")
value = Expression(steps.traded_value(), "value")
returns = Expression((close / delay(close, 1) - 1).source, "returns")
middle = (high + low) / 2
move = delta(close, 1)
body = ((close - low) - (high - close)) / (high - low)
slowing = 100 * ((delay(close, 20) - delay(close, 10)) / 10 - (delay(close, 10) - close) / 10) / close


def adv(bars: int) -> Expression:
    """Return the mean traded value of some bars."""
    return Expression(mean(value, bars).source, f"adv{bars}")


def mixed(x: Expression, y: Expression, share: float) -> Expression:
    """Return x * share + y * (1 - share)."""
    return Expression(steps.linear(x.source, y.source, share, 1.0 - share), f"({share:g} * {x.text} + {1.0 - share:g} * {y.text})")


def _continued(x: Expression, bars: int, moved: Expression) -> Expression:
    """Return a move that goes on where all of the last moves had one sign, and turns where not."""
    return where(ts_min(x, bars) > 0, moved, where(ts_max(x, bars) < 0, moved, -moved))


def _crossing() -> Expression:
    """Return alpha 21: reversal outside a band of one deviation about the 8-bar mean, volume inside it."""
    fast, slow, spread = mean(close, 2), mean(close, 8), stddev(close, 8)
    heavy = where(value / adv(20) < 1, -1, 1)
    return where(slow + spread < fast, -1, where(fast < slow - spread, 1, heavy))


def _slow_trend() -> Expression:
    """Return alpha 24: distance from the 100-bar low in a flat market, 3-bar reversal in a rising one."""
    drift = delta(mean(close, 100), 100) / delay(close, 100)
    return where(drift > 0.05, -delta(close, 3) / close, -(close - ts_min(close, 100)) / close)


def _below(limit: float) -> Expression:
    """Return alphas 49 and 51: long where the fall slows down by more than `limit` a bar, else the last move's reversal."""
    return where(slowing < -limit, 1, -move / close)


def _signs() -> Expression:
    """Return the signs of the last three moves, added up."""
    return sign(move) + sign(delay(move, 1)) + sign(delay(move, 2))


ALPHAS: dict[int, Expression] = {
    1: rank(ts_argmax(where(returns < 0, stddev(returns, 20) * close, close) ** 2, 5)) - 0.5,
    2: -correlation(rank(delta(log(volume), 2)), rank((close - open_) / open_), 6),
    3: -correlation(rank(open_), rank(volume), 10),
    4: -ts_rank(rank(low), 9),
    5: rank(open_ - ts_sum(vwap, 10) / 10) * -magnitude(rank(close - vwap)),
    6: -correlation(open_, volume, 10),
    7: where(adv(20) < value, -ts_rank(magnitude(delta(close, 7)), 60) * sign(delta(close, 7)), -1),
    8: -rank(ts_sum(open_, 5) * ts_sum(returns, 5) - delay(ts_sum(open_, 5) * ts_sum(returns, 5), 10)),
    9: _continued(move, 5, move / close),
    10: rank(_continued(move, 4, move)),
    11: (rank(ts_max(vwap - close, 3)) + rank(ts_min(vwap - close, 3))) * rank(delta(volume, 3)),
    12: sign(delta(volume, 1)) * (-move / close),
    13: -rank(covariance(rank(close), rank(volume), 5)),
    14: -rank(delta(returns, 3)) * correlation(open_, volume, 10),
    15: -ts_sum(rank(correlation(rank(high), rank(volume), 3)), 3),
    16: -rank(covariance(rank(high), rank(volume), 5)),
    17: -rank(ts_rank(close, 10)) * rank(delta(move, 1)) * rank(ts_rank(value / adv(20), 5)),
    18: -rank((stddev(magnitude(close - open_), 5) + (close - open_)) / close + correlation(close, open_, 10)),
    19: -sign((close - delay(close, 7)) + delta(close, 7)) * (1 + rank(1 + ts_sum(returns, 250))),
    20: -rank(open_ - delay(high, 1)) * rank(open_ - delay(close, 1)) * rank(open_ - delay(low, 1)),
    21: _crossing(),
    22: -(delta(correlation(high, volume, 5), 5) * rank(stddev(close, 20))),
    23: where(ts_sum(high, 20) / 20 < high, -delta(high, 2) / close, 0),
    24: _slow_trend(),
    25: rank(-returns * adv(20) * vwap * (high - close)),
    26: -ts_max(correlation(ts_rank(volume, 5), ts_rank(high, 5), 5), 3),
    27: where(rank(ts_sum(correlation(rank(volume), rank(vwap), 6), 2) / 2) > 0.5, -1, 1),
    28: scale(correlation(adv(20), low, 5) + (middle - close) / close),
    29: ts_min(rank(scale(log(ts_min(rank(-rank(delta(close, 5))), 2)))), 5) + ts_rank(delay(-returns, 6), 5),
    30: (1 - rank(_signs())) * ts_sum(volume, 5) / ts_sum(volume, 20),
    31: rank(decay_linear(-rank(delta(close, 10)), 10)) + rank(-delta(close, 3)) + sign(scale(correlation(adv(20), low, 12))),
    32: scale(ts_sum(close, 7) / 7 - close) + 20 * scale(correlation(vwap, delay(close, 5), 230)),
    33: rank(-(1 - open_ / close)),
    34: rank((1 - rank(stddev(returns, 2) / stddev(returns, 5))) + (1 - rank(move))),
    35: ts_rank(volume, 32) * (1 - ts_rank(close + high - low, 16)) * (1 - ts_rank(returns, 32)),
    36: 2.21 * rank(correlation(close - open_, delay(volume, 1), 15))
    + 0.7 * rank(open_ - close)
    + 0.73 * rank(ts_rank(delay(-returns, 6), 5))
    + rank(magnitude(correlation(vwap, adv(20), 6)))
    + 0.6 * rank((ts_sum(close, 200) / 200 - open_) * (close - open_)),
    37: rank(correlation(delay(open_ - close, 1), close, 200)) + rank(open_ - close),
    38: -rank(ts_rank(close, 10)) * rank(close / open_),
    39: -rank(delta(close, 7) * (1 - rank(decay_linear(value / adv(20), 9)))) * (1 + rank(ts_sum(returns, 250))),
    40: -rank(stddev(high, 10)) * correlation(high, volume, 10),
    41: (root(high * low) - vwap) / close,
    42: rank(vwap - close) / rank(vwap + close),
    43: ts_rank(value / adv(20), 20) * ts_rank(-delta(close, 7), 8),
    44: -correlation(high, rank(volume), 5),
    46: where(slowing > 0.25, -1, where(slowing < 0, 1, -move / close)),
    47: rank(1 / close) * value / adv(20) * (high * rank(high - close) / (ts_sum(high, 5) / 5)) - rank(vwap - delay(vwap, 5)),
    48: indneutralize(correlation(move, delay(move, 1), 250) * move / close) / ts_sum((move / delay(close, 1)) ** 2, 250),
    49: _below(0.1),
    50: -ts_max(rank(correlation(rank(volume), rank(vwap), 5)), 5),
    51: _below(0.05),
    52: (delay(ts_min(low, 5), 5) - ts_min(low, 5))
    / close
    * rank((ts_sum(returns, 240) - ts_sum(returns, 20)) / 220)
    * ts_rank(volume, 5),
    53: -delta(((close - low) - (high - close)) / (close - low), 9),
    54: -(low - close) * open_**5 / ((low - high) * close**5),
    55: -correlation(rank((close - ts_min(low, 12)) / (ts_max(high, 12) - ts_min(low, 12))), rank(volume), 6),
    57: -((close - vwap) / close / decay_linear(rank(ts_argmax(close, 30)), 2)),
    58: -ts_rank(decay_linear(correlation(indneutralize(vwap), volume, 3), 7), 5),
    59: -ts_rank(decay_linear(correlation(indneutralize(vwap), volume, 4), 16), 8),
    60: -(2 * scale(rank(body * volume)) - scale(rank(ts_argmax(close, 10)))),
    61: rank(vwap - ts_min(vwap, 16)) < rank(correlation(vwap, adv(180), 17)),
    62: -(rank(correlation(vwap, ts_sum(adv(20), 22), 9)) < rank(rank(open_) + rank(open_) < rank(middle) + rank(high))),
    63: -(
        rank(decay_linear(delta(indneutralize(close), 2), 8))
        - rank(decay_linear(correlation(mixed(vwap, open_, 0.318108), ts_sum(adv(180), 37), 13), 12))
    ),
    64: -(
        rank(correlation(ts_sum(mixed(open_, low, 0.178404), 12), ts_sum(adv(120), 12), 16))
        < rank(delta(mixed(middle, vwap, 0.178404), 3))
    ),
    65: -(rank(correlation(mixed(open_, vwap, 0.00817205), ts_sum(adv(60), 8), 6)) < rank(open_ - ts_min(open_, 13))),
    66: -(rank(decay_linear(delta(vwap, 3), 7)) + ts_rank(decay_linear((low - vwap) / (open_ - middle), 11), 6)),
    67: -(rank(high - ts_min(high, 2)) ** rank(correlation(indneutralize(vwap), indneutralize(adv(20)), 6))),
    68: -(ts_rank(correlation(rank(high), rank(adv(15)), 8), 13) < rank(delta(mixed(close, low, 0.518371), 1))),
    69: -(rank(ts_max(delta(indneutralize(vwap), 2), 4)) ** ts_rank(correlation(mixed(close, vwap, 0.490655), adv(20), 4), 9)),
    70: -(rank(delta(vwap, 1)) ** ts_rank(correlation(indneutralize(close), adv(50), 17), 17)),
    71: larger(
        ts_rank(decay_linear(correlation(ts_rank(close, 3), ts_rank(adv(180), 12), 18), 4), 15),
        ts_rank(decay_linear(rank((low + open_) - (vwap + vwap)) ** 2, 16), 4),
    ),
    72: rank(decay_linear(correlation(middle, adv(40), 8), 10))
    / rank(decay_linear(correlation(ts_rank(vwap, 3), ts_rank(volume, 18), 6), 2)),
    73: -larger(
        rank(decay_linear(delta(vwap, 4), 2)),
        ts_rank(decay_linear(-(delta(mixed(open_, low, 0.147155), 2) / mixed(open_, low, 0.147155)), 3), 16),
    ),
    74: -(
        rank(correlation(close, ts_sum(adv(30), 37), 15)) < rank(correlation(rank(mixed(high, vwap, 0.0261661)), rank(volume), 11))
    ),
    75: rank(correlation(vwap, volume, 4)) < rank(correlation(rank(low), rank(adv(50)), 12)),
    76: -larger(
        rank(decay_linear(delta(vwap, 1), 11)),
        ts_rank(decay_linear(ts_rank(correlation(indneutralize(low), adv(81), 8), 19), 17), 19),
    ),
    77: smaller(rank(decay_linear((middle + high) - (vwap + high), 20)), rank(decay_linear(correlation(middle, adv(40), 3), 5))),
    78: rank(correlation(ts_sum(mixed(low, vwap, 0.352233), 19), ts_sum(adv(40), 19), 6))
    ** rank(correlation(rank(vwap), rank(volume), 5)),
    79: rank(delta(indneutralize(mixed(close, open_, 0.60733)), 1)) < rank(correlation(ts_rank(vwap, 3), ts_rank(adv(150), 9), 14)),
    80: -(rank(sign(delta(indneutralize(mixed(open_, high, 0.868128)), 4))) ** ts_rank(correlation(high, adv(10), 5), 5)),
    # The logarithm of a product is the sum of the logarithms.
    81: -(
        rank(ts_sum(log(rank(rank(correlation(vwap, ts_sum(adv(10), 49), 8)) ** 4)), 14))
        < rank(correlation(rank(vwap), rank(volume), 5))
    ),
    82: -smaller(
        rank(decay_linear(delta(open_, 1), 14)), ts_rank(decay_linear(correlation(indneutralize(volume), open_, 17), 6), 13)
    ),
    83: rank(delay((high - low) / (ts_sum(close, 5) / 5), 2))
    * rank(volume)
    / ((high - low) / (ts_sum(close, 5) / 5))
    * ((vwap - close) / close),
    84: ts_rank(vwap - ts_max(vwap, 15), 20) ** (100 * delta(close, 4) / close),
    85: rank(correlation(mixed(high, close, 0.876703), adv(30), 9))
    ** rank(correlation(ts_rank(middle, 3), ts_rank(volume, 10), 7)),
    86: -(ts_rank(correlation(close, ts_sum(adv(20), 14), 6), 20) < rank((open_ + close) - (vwap + open_))),
    87: -larger(
        rank(decay_linear(delta(mixed(close, vwap, 0.369701), 1), 2)),
        ts_rank(decay_linear(magnitude(correlation(indneutralize(adv(81)), close, 13)), 4), 14),
    ),
    88: smaller(
        rank(decay_linear((rank(open_) + rank(low)) - (rank(high) + rank(close)), 8)),
        ts_rank(decay_linear(correlation(ts_rank(close, 8), ts_rank(adv(60), 20), 8), 6), 2),
    ),
    89: ts_rank(decay_linear(correlation(low, adv(10), 6), 5), 3) - ts_rank(decay_linear(delta(indneutralize(vwap), 3), 10), 15),
    90: -(rank(close - ts_max(close, 4)) ** ts_rank(correlation(indneutralize(adv(40)), low, 5), 3)),
    91: -(
        ts_rank(decay_linear(decay_linear(correlation(indneutralize(close), volume, 9), 16), 3), 4)
        - rank(decay_linear(correlation(vwap, adv(30), 4), 2))
    ),
    92: smaller(
        ts_rank(decay_linear(middle + close < low + open_, 14), 18),
        ts_rank(decay_linear(correlation(rank(low), rank(adv(30)), 7), 6), 6),
    ),
    93: ts_rank(decay_linear(correlation(indneutralize(vwap), adv(81), 17), 19), 7)
    / rank(decay_linear(delta(mixed(close, vwap, 0.524434), 2), 16)),
    94: -(rank(vwap - ts_min(vwap, 11)) ** ts_rank(correlation(ts_rank(vwap, 19), ts_rank(adv(60), 4), 18), 2)),
    95: rank(open_ - ts_min(open_, 12)) < ts_rank(rank(correlation(ts_sum(middle, 19), ts_sum(adv(40), 19), 12)) ** 5, 11),
    96: -larger(
        ts_rank(decay_linear(correlation(rank(vwap), rank(volume), 3), 4), 8),
        ts_rank(decay_linear(ts_argmax(correlation(ts_rank(close, 7), ts_rank(adv(60), 4), 3), 12), 14), 13),
    ),
    97: -(
        rank(decay_linear(delta(indneutralize(mixed(low, vwap, 0.721001)), 3), 20))
        - ts_rank(decay_linear(ts_rank(correlation(ts_rank(low, 7), ts_rank(adv(60), 17), 4), 18), 15), 6)
    ),
    98: rank(decay_linear(correlation(vwap, ts_sum(adv(5), 26), 4), 7))
    - rank(decay_linear(ts_rank(ts_argmin(correlation(rank(open_), rank(adv(15)), 20), 8), 6), 8)),
    99: -(rank(correlation(ts_sum(middle, 19), ts_sum(adv(60), 19), 8)) < rank(correlation(low, volume, 6))),
    100: -(
        (
            1.5 * scale(indneutralize(indneutralize(rank(body * volume))))
            - scale(indneutralize(correlation(close, rank(adv(20)), 5) - rank(ts_argmin(close, 30))))
        )
        * (value / adv(20))
    ),
    101: (close - open_) / ((high - low) + 0.00001 * close),
}


def _row(number: int, formula: Expression) -> Feature:
    assert isinstance(formula.source, Feature)  # noqa: S101  # every formula is more than a column
    source = f"Kakushadze 2016, arXiv:1601.00991, appendix A, alpha {number}{', made free of scale' if number in FREE else ''}"
    return named("alpha101", f"alpha101_{number:03}", formula.text, source, formula.source)


FEATURES: tuple[Feature, ...] = tuple(_row(number, formula) for number, formula in ALPHAS.items())
