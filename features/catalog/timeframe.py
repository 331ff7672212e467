"""Higher timeframes: what the last complete bar of 5 and of 20 bars says. An unfinished higher bar never shows."""

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import log_ratio, root
from features.feature import Feature
from features.kernels import average, volatility

FRAMES = (5, 20)


def _of_frame(bars: int) -> tuple[Feature, ...]:
    opening, high, low, close, volume = steps.higher_bars(bars)
    log_close = plain.logarithm(close)
    moved = plain.change(log_close)
    span = plain.ema(plain.pointwise(f"{moved.name}^2", volatility.square, moved), 10)
    rows = (
        ("return", "log return of the last complete higher bar", moved),
        ("body", "log close over open of the last complete higher bar", log_ratio(close, opening)),
        ("range", "log high over low of the last complete higher bar", log_ratio(high, low)),
        ("rsi", "relative strength index over 9 higher bars", plain.rsi(close, 9)),
        ("volatility", "root of squared higher log returns, exponential of span 10", root(span)),
        (
            "distance",
            "higher close over its exponential mean of span 10",
            steps.step("distance", average.distance, close, plain.ema(close, 10)),
        ),
        ("volume", "log of higher volume over its exponential mean of span 10", log_ratio(volume, plain.ema(volume, 10))),
    )
    return tuple(
        named("timeframe", f"higher_{bars}_{name}", f"{meaning} ({bars} bars each)", "", steps.held(feature, bars))
        for name, meaning, feature in rows
    )


FEATURES: tuple[Feature, ...] = tuple(feature for bars in FRAMES for feature in _of_frame(bars))
