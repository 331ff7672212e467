"""The catalogue as a page: `python -m docs.catalogue` writes docs/features.md and a picture of each feature.

Everything but the cost is made from the catalogue, and a test holds page and pictures to it. The cost is measured by
`python -m benchmarks.features.cost`, which writes docs/features.json.
"""

import json
from itertools import groupby
from pathlib import Path

import numpy as np

from domain import panel as panels
from domain import params as parameters
from domain.panel import COVARIATES, FloatArray, Panel
from features import catalog
from features.engine import FeatureEngine
from features.feature import Feature
from pipelines.data.sources.simulated import Simulated

ROOT = Path(__file__).parent
PAGE, COSTS, PICTURES = ROOT / "features.md", ROOT / "features.json", ROOT / "features"
SYMBOLS, BARS, SHOWN = 12, 900, 240
WIDTH, HEIGHT, MARGIN = 240, 48, 3
HEAD = """# The catalogue

{count} features in {families} families, made from the catalogue by `python -m docs.catalogue`. The grey line of a picture is the
log price of a simulated stock, the blue one the feature over the same {shown} bars. A formula names the kernels of
`features/kernels` with their parameters, innermost first; `[1]` is the second of several series that one kernel writes. *Warm-up*
is the number of a symbol's bars that yield no value yet, *reads* the panel's columns, *cost* nanoseconds a value over a history of
500 symbols x 2,520 bars on one core, alone and with everything that it is made from (`python -m benchmarks.features.cost`).
"""
COLUMNS = "| feature | picture | meaning | formula | source | warm-up | reads | cost |\n" + 8 * "|---" + "|\n"


def page(costs: dict[str, float]) -> str:
    """Return the page in Markdown."""
    rows = sorted(catalog.CATALOG, key=lambda feature: catalog.FAMILIES.index(feature.family))
    parts = [HEAD.format(count=len(rows), families=len(catalog.FAMILIES), shown=SHOWN)]
    for family, features in groupby(rows, key=lambda feature: feature.family):
        parts.append(f"\n## {family}\n\n{COLUMNS}")
        parts += [_row(feature, costs) for feature in features]
    return "".join(parts)


def _row(feature: Feature, costs: dict[str, float]) -> str:
    picture = f"![{feature.name}](features/{feature.name}.svg)"
    cells = [f"`{feature.name}`", picture, feature.meaning, f"`{feature.formula}`", feature.source or "–"]
    cells += [str(feature.warm_up), ", ".join(feature.columns), f"{costs[feature.name]:.1f}" if feature.name in costs else "–"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def example() -> Panel:
    """Return a simulated market with every covariate known."""
    params = parameters.load(ROOT.parent / "params.yaml", "sim_equity")
    world = params.sources.simulated.model_copy(update={"symbols": SYMBOLS, "bars": BARS})
    made = panels.from_bars(Simulated(world).bars(params.market("sim_equity"), None, None), "sim_equity", "1d")
    draw = np.random.default_rng(0)
    known = {name: np.where(made.present, draw.random(made.close.shape), np.nan) for name in COVARIATES}
    known |= {"vwap": (made.high + made.low + made.close) / 3.0, "trades": made.volume // 100.0}
    known |= {"buy_volume": made.volume * known["buy_volume"], "spread": 0.001 * known["spread"]}
    known["sector"] = np.where(made.present, np.arange(SYMBOLS) % 3.0, np.nan)
    columns = {name: getattr(made, name) for name in panels.PRICES}
    return Panel("sim_equity", "1d", made.symbols, made.opened_at, made.event_at, **columns, covariates=known)


def pictures() -> dict[str, str]:
    """Return an SVG for every feature, by name."""
    shown = example()
    values = FeatureEngine(catalog.CATALOG, SYMBOLS, precision=np.float64).advance(shown)[-SHOWN:, 0]
    price = _line(np.log(shown.close[-SHOWN:, 0]), "#c8c8c8")
    return {f.name: _svg(f.name, price + _line(values[:, i], "#1f6feb")) for i, f in enumerate(catalog.CATALOG)}


def _svg(name: str, lines: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}">'
    return f"{head}{lines}</svg>\n"


def _line(values: FloatArray, colour: str) -> str:
    """Return a polyline through the values that exist, scaled to the picture."""
    present = np.isfinite(values)
    low, high = (values[present].min(), values[present].max()) if present.any() else (0.0, 1.0)
    height = HEIGHT - 2 * MARGIN
    y = MARGIN + height * (1.0 - (values - low) / (high - low)) if high > low else np.full(len(values), HEIGHT / 2)
    x = np.linspace(MARGIN, WIDTH - MARGIN, len(values))
    points = " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x[present], y[present], strict=True))
    return f'<polyline fill="none" stroke="{colour}" points="{points}"/>'


def costs() -> dict[str, float]:
    """Return the measured nanoseconds a value, by feature."""
    return dict(json.loads(COSTS.read_text(encoding="utf-8"))) if COSTS.exists() else {}


def main() -> None:
    """Write the page and the pictures, and remove pictures of features that are gone."""
    PICTURES.mkdir(exist_ok=True)
    drawn = pictures()
    for name, picture in drawn.items():
        (PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
    for stale in PICTURES.glob("*.svg"):
        if stale.stem not in drawn:
            stale.unlink()
    PAGE.write_text(page(costs()), encoding="utf-8")


if __name__ == "__main__":
    main()
