"""Serving: a bundle is verified or refused, and history, bar by bar and the loop agree on real data with its gaps."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from domain.error import CorruptBundle, ModelError
from domain.params import Sizing
from features import catalog
from models import bundle
from pipelines.execution import loop, orders, serving, simulate
from tests.pipelines.execution import recorded


def real(market):
    """Return real bars of a market, or skip."""
    if not recorded.exists(market):
        pytest.skip(f"the real data of '{market}' is not on this machine: set NIGHTSHIFT_DATA")
    return recorded.real(market)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Train on a made-up market once for all tests here."""
    return recorded.bundled(recorded.panel(300, 6, seed=8), tmp_path_factory.mktemp("small") / "bundle")


@pytest.mark.parametrize("market", recorded.REAL)
def test_on_real_bars_the_loop_equals_the_simulation_and_any_cut_of_history(market, tmp_path):
    """Forecasts in one call, in random chunks and bar by bar; then simulation and replay: the same bits and the same digest."""
    panel = real(market)
    served = serving.load(recorded.bundled(panel, tmp_path / "bundle"), version="3")
    chosen, params = recorded.terms(market)
    since = panel.event_at[-90]

    whole = served.forecasts(panel)
    cuts = [0, *np.sort(np.random.default_rng(1).choice(np.arange(1, panel.bars), 20, replace=False)).tolist(), panel.bars]
    chunks, single = served.feed(len(panel.symbols)), served.feed(len(panel.symbols))
    chunked = np.concatenate([chunks.advance(panel.rows(a, b))[0] for a, b in itertools.pairwise(cuts)])
    barwise = np.concatenate([single.advance(bar)[0] for bar in panel.each()])
    simulated = simulate.run(panel, whole, chosen, params, model_version="3", since=since)
    replayed = loop.replay(panel, served, chosen, params, tmp_path / "home", since=since)

    assert np.isnan(panel.close).any() or market in {"fx", "crypto"}
    assert whole.tobytes() == chunked.tobytes() == barwise.tobytes()
    assert simulated.metrics["trades"] > 0
    assert simulated.orders_digest == replayed.orders_digest
    assert simulated.equity.tobytes() == replayed.equity.tobytes()
    assert simulated.orders.equals(replayed.orders)
    assert simulated.fills.equals(replayed.fills)
    assert simulated.metrics == replayed.metrics


def test_deleting_the_future_changes_no_order_before_it(small):
    """A simulation over the first bars alone is the beginning of the simulation over all of them."""
    panel, (market, params) = recorded.panel(300, 6, seed=8), recorded.terms()
    served = serving.load(small)

    whole = simulate.run(panel, served.forecasts(panel), market, params, model_version="1")
    part = panel.rows(0, 220)
    early = simulate.run(part, served.forecasts(part), market, params, model_version="1")

    assert early.equity.tobytes() == whole.equity[:220].tobytes()
    assert early.orders.equals(whole.orders.filter(pl.col("decided_at") <= early.orders["decided_at"].max()))


def test_a_model_is_known_by_its_digest_until_it_has_a_number(small):
    """Version, horizon and features come from the bundle."""
    served, numbered = serving.load(small), serving.load(small, version="12")

    assert served.version == bundle.verify(small).model_digest[:12]
    assert (numbered.version, numbered.horizon) == ("12", 5)
    assert served.feed(6).warm(recorded.panel(30, 6)).shape == (30, 6)


def test_a_model_that_is_too_old_opens_nothing_new(small):
    """A year of daily bars after the newest bar of its training it falls silent; what was held may still be closed."""
    panel, (market, params) = recorded.panel(300, 6, seed=8), recorded.terms()
    last = np.datetime64(bundle.verify(small).lineage["last"].removesuffix("Z"), "us")

    young, old = (serving.load(small, market=market, age_bars_max=bars) for bars in (252, 21))
    whole, cut = young.forecasts(panel), old.forecasts(panel)
    outcome = simulate.run(panel, cut, market, params, model_version="1")

    limit = last + np.timedelta64(round(365.25 / 12 * 86_400), "s")
    silent = panel.event_at > limit
    assert silent.any()
    assert np.isnan(cut[silent]).all()
    assert cut[~silent].tobytes() == whole[~silent].tobytes()
    assert set(outcome.orders.filter(pl.col("decided_at") > orders.moment(limit))["outcome"]) <= {"forced"}


@pytest.mark.fault("F95")
def test_a_bundle_with_one_changed_byte_is_refused(small, tmp_path):
    """Whatever file it is in."""
    for path in sorted(small.rglob("*")):
        if path.is_file():
            copied = tmp_path / path.name
            copied.mkdir()
            for each in small.rglob("*"):
                target = copied / each.relative_to(small)
                target.mkdir() if each.is_dir() else target.write_bytes(each.read_bytes())
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2] ^= 1
            (copied / path.relative_to(small)).write_bytes(raw)

            with pytest.raises(CorruptBundle):
                serving.load(copied)


@pytest.mark.fault("F97")
def test_a_model_of_features_that_are_measured_otherwise_is_refused(small, monkeypatch):
    """The same names with another recipe, or a name that is gone: train anew."""
    names = bundle.verify(small).features
    other = tuple(replace(f, parameters=(*f.parameters, 1)) if f.name == names[0] else f for f in catalog.CATALOG)

    monkeypatch.setattr(catalog, "CATALOG", other)
    with pytest.raises(ModelError, match="train it anew"):
        serving.load(small)
    monkeypatch.setattr(catalog, "CATALOG", tuple(f for f in catalog.CATALOG if f.name != names[0]))
    with pytest.raises(ModelError, match=f"reads feature '{names[0]}', which this version lacks"):
        serving.load(small)


def test_a_model_that_reads_several_rows_is_fed_several_rows():
    """Bar by bar, a model with context sees the rows before, and answers as it does over history."""

    class Context(recorded.Views):
        def predict(self, features, scale):
            seen = np.full_like(scale, np.nan)
            for t in range(2, len(scale)):
                seen[t] = scale[t] + 2 * scale[t - 1] + 4 * scale[t - 2]
            return super().predict(features, seen)

    panel = recorded.panel(80, 4, seed=5, gaps=0.0)
    served = replace(recorded.served(), model=Context(context_bars=3))
    single = served.feed(4)

    barwise = np.concatenate([single.advance(bar)[0] for bar in panel.each()])

    assert served.forecasts(panel).tobytes() == barwise.tobytes()
    assert np.isfinite(barwise[-1]).all()


def test_a_bundle_with_settings_is_replayed_as_it_is_simulated(tmp_path):
    """Loaded from its bundle, over history and bar by bar: the same orders, and other ones than params.yaml's settings give."""
    panel, (market, params) = recorded.panel(300, 6, seed=8), recorded.terms()
    brought = Sizing(edge_sigma_full=0.05, band=0.1, rate=1.0)
    served = serving.load(recorded.bundled(panel, tmp_path / "bundle", sizing=brought))
    since = panel.event_at[-60]

    replayed = loop.replay(panel, served, market, params, tmp_path / "home", since=since)
    simulated, other = (
        simulate.run(panel, served.forecasts(panel), market, terms, model_version=served.version, since=since)
        for terms in (params.sized(brought), params)
    )

    assert served.terms(params) == params.sized(brought)
    assert replayed.orders_digest == simulated.orders_digest != other.orders_digest
    assert replayed.equity.tobytes() == simulated.equity.tobytes()


def test_a_bundle_without_settings_leaves_them_to_params(small):
    """As those that were made before a model could bring any."""
    _, params = recorded.terms()

    assert serving.load(small).terms(params) == params
