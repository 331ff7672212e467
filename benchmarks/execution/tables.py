"""Tables: lines of Markdown for the pages of the benchmarks of decisions."""

import math

from domain.panel import FloatArray
from models import metrics


def head(first: str, *titles: str) -> list[str]:
    """Return the first two lines of a table whose other columns are numbers."""
    return [line(first, *titles), "|---|" + "---:|" * len(titles)]


def line(*cells: str) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    """Return a number with two places, a dash where there is none."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def ratio(returns: FloatArray, year: float) -> str:
    """Return a yearly Sharpe ratio and half of its 95% interval."""
    return f"{metrics.sharpe(returns, year):.2f} ± {1.96 * metrics.sharpe_se(returns, year):.2f}"
