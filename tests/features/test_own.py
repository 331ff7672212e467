"""Tests of features that a user adds: plain functions, polars expressions, what is refused, and that nothing can look ahead."""

import importlib
import pickle
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from domain.error import ConfigurationError
from domain.panel import FloatArray
from features import catalog, own
from features import indicators as plain
from features.expression import expression
from features.feature import Feature
from tests.features import beside, panels


def run_length(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write for how many bars a series has risen, as a user would write it: without a compiler."""
    for t in range(len(x)):
        for s in range(first, last):
            if np.isnan(x[t, s]):
                out[t, s] = np.nan
            else:
                state[1, s] = state[1, s] + 1.0 if x[t, s] > state[0, s] else 0.0
                state[0, s], out[t, s] = x[t, s], state[1, s]


OWN = (
    Feature("run_length", run_length, (plain.sma("close", 3),), (), 2, family="own", meaning="bars of rise"),
    expression("up_share", (pl.col("close") > pl.col("open")).mean(), bars=5, meaning="share of rising bars"),
    expression("decay", pl.col("close").ewm_mean(span=3) / pl.col("close") - 1, bars=8, meaning="distance from a short mean"),
    expression("busy", pl.col("trades").rank() / pl.len(), bars=6, meaning="rank of the number of trades"),
    expression("rising", pl.col("close") > pl.col("close").shift(2), bars=3, meaning="1 after a rise of two bars"),
)


def test_own_features_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up, scale, chunks, bars one by one, gaps: a user's features are held to what ours are."""
    beside.check_promises(OWN, symbols=3)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_an_expression_sees_the_bars_that_a_symbol_really_had(gaps: float) -> None:
    """At every bar it equals polars over the last bars alone; missing bars are no part of the window."""
    panel = beside.market(40, 3, 131, gaps)

    found = beside.values(OWN[1:3], panel)

    for s in range(3):
        own_bars = panel.present[:, s]
        frame = pl.DataFrame({name: values[own_bars, s] for name, values in panel.columns().items()})
        up, decay = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
        for i in range(len(frame)):
            if i >= 4:
                up[i] = (frame["close"] > frame["open"])[i - 4 : i + 1].mean()
            if i >= 7:
                window = frame["close"][i - 7 : i + 1]
                decay[i] = window.ewm_mean(span=3)[-1] / window[-1] - 1.0
        np.testing.assert_allclose(found[own_bars, s], np.stack([up, decay], axis=1), rtol=1e-12)
    assert np.isnan(found[~panel.present]).all()


def test_a_bar_without_what_an_expression_reads_is_no_part_of_its_window() -> None:
    """The number of trades is unknown at some bars; the window reaches back past them."""
    panel = beside.market(30, 1, 132)
    trades = panel.covariates["trades"].copy()
    trades[10:20] = np.nan

    found = beside.values([OWN[3]], beside.replace(panel, covariates={"trades": trades}))[:, 0, 0]

    assert np.isnan(found[10:20]).all()
    window = np.concatenate([trades[5:10, 0], trades[20:21, 0]])
    assert found[20] == (window < window[-1]).sum() / 6 + (1 + (window == window[-1]).sum()) / 12


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        (pl.col("close").shift(-1), "looks forward"),
        (pl.col("close").shift(-1) / pl.col("close"), "looks forward"),
        (pl.col("close").shift(5), "longer window"),
        (pl.col("clsoe").mean(), "did you mean 'close'"),
        (pl.col("close", "open").mean(), "give one column"),
        (pl.lit(1.0), "read columns by name"),
        (pl.col("close").head(2), "gave 2 values"),
        (pl.col("close").cast(pl.String), "of type String"),
        (pl.col("close").str.to_uppercase(), "cannot be evaluated"),
    ],
)
def test_what_cannot_be_a_feature_is_refused_in_one_sentence(formula: pl.Expr, sentence: str) -> None:
    """When it is registered, not in the middle of a trading day."""
    with pytest.raises(ConfigurationError, match=sentence):
        expression("wrong", formula, bars=5, meaning="")


@pytest.mark.parametrize(
    "formula",
    [
        pl.col("close").shift(-1, fill_value=0.0),
        pl.col("close").reverse().cum_max().reverse(),
        pl.coalesce(pl.col("close").shift(-2), pl.col("close")),
        pl.col("close").max(),
        pl.col("close").interpolate().backward_fill(),
    ],
    ids=str,
)
def test_an_expression_that_tries_to_look_ahead_finds_nothing_there(formula: pl.Expr) -> None:
    """Whatever follows, and whether or not it is there, no value of the past changes."""
    feature = expression("eager", formula, bars=5, meaning="")
    panel = panels.random(30, 2, 133)
    other = panel.close.copy()
    other[20:] *= 9.0

    found = beside.values([feature], panel)

    np.testing.assert_array_equal(beside.values([feature], panel.rows(0, 20)), found[:20])
    np.testing.assert_array_equal(beside.values([feature], beside.replace(panel, close=other))[:20], found[:20])


def test_an_expression_is_part_of_the_schema_and_travels() -> None:
    """Another formula under the same name is another schema; a feature can be sent to another process."""
    one, other = (expression("x", pl.col("close").tail(n).mean(), bars=5, meaning="") for n in (2, 3))

    assert catalog.schema_hash([one]) != catalog.schema_hash([other])
    assert catalog.schema_hash([pickle.loads(pickle.dumps(one))]) == catalog.schema_hash([one])  # noqa: S301


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """List the user's features in the catalogue, and take them out again."""
    monkeypatch.setattr(own, "FEATURES", OWN)
    importlib.reload(catalog)
    yield
    monkeypatch.undo()
    importlib.reload(catalog)


@pytest.mark.usefixtures("registered")
def test_what_is_listed_is_a_family_of_the_catalogue() -> None:
    """It can be chosen in params.yaml by the word own."""
    chosen = catalog.select(["own"])

    assert [feature.name for feature in chosen if feature.family == "own"] == [feature.name for feature in OWN]
    assert "own" in catalog.FAMILIES
