"""The family `pattern`: candlestick patterns, 1 bullish, -1 bearish, 0 none; where edges touch, 0.8."""

from features import indicators as plain
from features import steps
from features import technical as chart
from features.catalog.rows import named
from features.feature import Feature
from features.kernels import pattern

_BODY = plain.sma(steps.magnitude(plain.difference("close", "open")), 10)
_MEANS = tuple(plain.lagged(mean) for mean in (_BODY, plain.sma(chart.reach(), 10), plain.sma(chart.reach(), 5)))
_PATTERNS = steps.step(
    "patterns", pattern.patterns, "open", "high", "low", "close", *_MEANS, slots=pattern.SLOTS, parts=pattern.PARTS
)
#: TA-Lib's function for each pattern, and what is seen.
_ROWS = {
    "doji": ("CDLDOJI", "hardly any body"),
    "dragonfly_doji": ("CDLDRAGONFLYDOJI", "doji with a lower shadow only"),
    "gravestone_doji": ("CDLGRAVESTONEDOJI", "doji with an upper shadow only"),
    "long_legged_doji": ("CDLLONGLEGGEDDOJI", "doji with a shadow longer than its body"),
    "takuri": ("CDLTAKURI", "dragonfly doji with a very long lower shadow"),
    "spinning_top": ("CDLSPINNINGTOP", "short body between longer shadows"),
    "high_wave": ("CDLHIGHWAVE", "short body between shadows twice as long"),
    "marubozu": ("CDLMARUBOZU", "long body without shadows"),
    "closing_marubozu": ("CDLCLOSINGMARUBOZU", "long body without a shadow at the close"),
    "belt_hold": ("CDLBELTHOLD", "long body without a shadow at the open"),
    "hammer": ("CDLHAMMER", "short body over a long lower shadow, near the low before"),
    "hanging_man": ("CDLHANGINGMAN", "short body over a long lower shadow, near the high before"),
    "inverted_hammer": ("CDLINVERTEDHAMMER", "short body under a long upper shadow, gapping down"),
    "shooting_star": ("CDLSHOOTINGSTAR", "short body under a long upper shadow, gapping up"),
    "engulfing": ("CDLENGULFING", "body around the one before of the other colour"),
    "harami": ("CDLHARAMI", "short body within a long one before"),
    "harami_cross": ("CDLHARAMICROSS", "doji within a long body before"),
    "piercing": ("CDLPIERCING", "opens below the low before, closes above half of its long body"),
    "dark_cloud_cover": ("CDLDARKCLOUDCOVER", "opens above the high before, closes below half of its long body"),
    "doji_star": ("CDLDOJISTAR", "doji that gaps away from a long body"),
    "homing_pigeon": ("CDLHOMINGPIGEON", "short falling body within a long falling one"),
    "matching_low": ("CDLMATCHINGLOW", "two falling bodies that close alike"),
    "kicking": ("CDLKICKING", "two marubozus of other colours with a gap between"),
    "morning_star": ("CDLMORNINGSTAR", "long fall, short body below it, rise back into the fall"),
    "evening_star": ("CDLEVENINGSTAR", "long rise, short body above it, fall back into the rise"),
    "morning_doji_star": ("CDLMORNINGDOJISTAR", "morning star with a doji"),
    "evening_doji_star": ("CDLEVENINGDOJISTAR", "evening star with a doji"),
    "abandoned_baby": ("CDLABANDONEDBABY", "doji with gaps on both sides, then the turn"),
    "tristar": ("CDLTRISTAR", "three dojis, the middle one apart"),
    "three_inside": ("CDL3INSIDE", "harami, then a close beyond the first open"),
    "three_outside": ("CDL3OUTSIDE", "engulfing, then a close further on"),
    "three_white_soldiers": ("CDL3WHITESOLDIERS", "three rises without upper shadows, each from within the last"),
    "upside_gap_two_crows": ("CDLUPSIDEGAP2CROWS", "two falls above a long rise, the second around the first"),
    "two_crows": ("CDL2CROWS", "two falls above a long rise, the second back into it"),
    "tasuki_gap": ("CDLTASUKIGAP", "a body of the other colour that closes part of a gap"),
}  # fmt: skip


def _delay(place: int) -> int:
    """Return the bars that a pattern of one, two or three bars needs before its last."""
    return 0 if place < pattern.ONE else (1 if place < pattern.ONE + pattern.TWO else 2)


FEATURES: tuple[Feature, ...] = tuple(
    named("pattern", f"candle_{name}", meaning, f"TA-Lib {function}", steps.part(_PATTERNS, place, _delay(place)))
    for place, (name, (function, meaning)) in enumerate((name, _ROWS[name]) for name in pattern.NAMES)
)
