"""The audit names what knows the future and lets pass what is merely good."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from domain import params
from domain.error import DataError
from domain.forecast import LEVELS
from domain.params import Params
from models import contract, family
from models.baseline import Momentum, Zero
from models.contract import Dataset
from pipelines.model import audit
from pipelines.model.audit import Finding, Outcome
from tests.models.planted import training as small

LOADED = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")
CHOSEN: Params = LOADED.model_copy(update={"training": small()})
MARKET = LOADED.market("sim_equity")
HORIZON = MARKET.horizon
HERE = "tests.pipelines.model.test_audit"


def _slow(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> np.ndarray:
    """Return [T, S] of variance 1, each row keeping `memory` of the last."""
    values = rng.standard_normal(shape)
    for t in range(1, len(values)):
        values[t] = memory * values[t - 1] + math.sqrt(1.0 - memory**2) * values[t]
    return values


def _bars(seed: int, edge: float, memory: float, shape: tuple[int, int], horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a signal [T, S] and returns by bar [T, S]: the next one goes with the signal so that a window does by `edge`."""
    rng = np.random.default_rng(seed)
    signal = _slow(rng, shape, memory)
    each = edge * math.sqrt(horizon) / sum(memory**k for k in range(horizon))
    bars = rng.standard_normal(shape)
    bars[1:] = each * signal[:-1] + math.sqrt(1.0 - each**2) * bars[1:]
    return signal, 0.01 * (bars + rng.standard_normal((len(bars), 1)))


def _market(
    seed: int, edge: float = 0.05, memory: float = 0.95, rows: int = 1_000, symbols: int = 30, horizon: int = HORIZON
) -> tuple[Dataset, np.ndarray]:
    """Return a market whose signal has a rank IC of about `edge`, beside what else is known honestly; and its returns by bar."""
    signal, bars = _bars(seed, edge, memory, (rows, symbols), horizon)
    total = np.concatenate([np.zeros((1, symbols)), np.cumsum(bars, axis=0)])
    forward = np.full(bars.shape, np.nan)
    forward[: -horizon - 1] = total[horizon + 1 : -1] - total[1 : -horizon - 1]
    past = np.full(bars.shape, np.nan)
    past[20:] = total[21:] - total[1:-20]
    index = np.broadcast_to(bars.mean(axis=1, keepdims=True), bars.shape)
    rng = np.random.default_rng(seed + 1_000)
    features = {"signal": signal, "return_20": past, "return_1": bars, "index": index}
    features |= {"fast": rng.standard_normal(bars.shape), "slow": _slow(rng, bars.shape, 0.99)}
    scale = np.full(bars.shape, 0.01 * math.sqrt(2.0))
    times = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    names = tuple(f"S{i}" for i in range(symbols))
    stacked = np.stack(list(features.values()), axis=-1).astype(np.float32)
    return Dataset(stacked, forward, forward / scale / math.sqrt(horizon), scale, times, tuple(features), names, horizon), bars


def _with(dataset: Dataset, name: str, column: np.ndarray) -> Dataset:
    features = np.concatenate([dataset.features, column[..., None].astype(np.float32)], axis=-1)
    return replace(dataset, features=features, names=(*dataset.names, name))


def _blurred(truth: np.ndarray, correlation: float, seed: int) -> np.ndarray:
    """Return [T, S] of variance 1 that go with the truth, less its row's mean, by `correlation`."""
    known = np.isfinite(truth).any(axis=1)
    values = np.full(truth.shape, np.nan)
    values[known] = truth[known] - np.nanmean(truth[known], axis=1, keepdims=True)
    noise = np.random.default_rng(seed + 2_000).standard_normal(truth.shape)
    return correlation * values / np.nanstd(values) + math.sqrt(1.0 - correlation**2) * noise


def _ahead(values: np.ndarray, rows: int) -> np.ndarray:
    """Return [T, S] what is `rows` later, or earlier when negative; NaN where that is outside."""
    moved = np.full(values.shape, np.nan)
    moved[max(-rows, 0) : len(values) - max(rows, 0)] = values[max(rows, 0) : len(values) + min(rows, 0)]
    return moved


def _leaking(kind: str, seed: int, **market: float) -> Dataset:
    """Return a market with an honest signal and a column that knows the future, called 'leak'."""
    dataset, bars = _market(seed, **market)
    truth = {
        "label": dataset.label,
        "next bar": _ahead(bars, 1),
        "late": _ahead(dataset.label, 1),
        "early": _ahead(dataset.label, -1),
    }
    name, correlation = kind.split(" at ")
    return _with(dataset, "leak", _blurred(truth[name], float(correlation), seed))


def _columns(dataset: Dataset) -> list[tuple[str, np.ndarray]]:
    return [(name, dataset.features[..., k].astype(np.float64)) for k, name in enumerate(dataset.names)]


def _suspects(dataset: Dataset) -> set[str]:
    return {row.subject for row in audit.suspicious(_columns(dataset), dataset) if not row.passed}


def _failed(found: audit.Audit) -> set[str]:
    return {row.check for row in found.rows if not row.passed}


LEAKS = ("label at 1.0", "label at 0.5", "label at 0.3", "label at 0.15", "next bar at 1.0", "next bar at 0.5", "late at 1.0")


@pytest.mark.parametrize("kind", [*LEAKS, "late at 0.15", "early at 1.0", "early at 0.2"])
def test_a_leaking_column_is_named_and_no_other(kind):
    """The label under noise, down to a correlation of 0.15, the next bar's return, a label of the next row and of the last one."""
    found = [_suspects(_leaking(kind, seed)) for seed in range(8)]

    assert sum(each == {"leak"} for each in found) >= 7


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8, 0.95, 0.99])
def test_an_honest_edge_is_not_suspected(memory):
    """Rank ICs of 0.03 and 0.1, from signals worth one bar to signals that hardly fade, and all that stands beside them."""
    found = [_suspects(_market(seed, edge, memory)[0]) for seed in range(6) for edge in (0.03, 0.1)]

    assert sum(map(bool, found)) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_slow_edge_may_be_larger_than_a_leak_that_is_caught(seed):
    """A rank IC of 0.2 that is still there a horizon later."""
    assert _suspects(_market(seed, edge=0.2, memory=0.99)[0]) == set()


def _reasons(dataset: Dataset) -> set[str]:
    return {row.check for row in audit.suspicious(_columns(dataset), dataset) if row.subject == "leak" and not row.passed}


def test_the_next_bar_is_caught_in_windows_that_drown_it():
    """Of twenty bars one is known by half: a rank IC of 0.11 in all, which is no size, but it stems from that bar alone."""
    assert _reasons(_leaking("next bar at 0.5", 1, horizon=20)) == {"immediacy"}


def test_a_small_leak_of_a_wide_market_is_caught_by_never_failing():
    """A rank IC of 0.09 is an edge's size, but among 150 symbols it stands 40 standard errors from chance."""
    assert _reasons(_leaking("label at 0.09", 1, rows=1_500, symbols=150)) == {"steadiness"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEAKS)
def test_trees_trained_with_a_leak_are_caught(kind):
    """The whole audit of the family that learns best, on two markets."""
    for seed in range(2):
        found = audit.audit(_leaking(kind, seed, rows=900), CHOSEN, MARKET, "trees")

        assert not found.passed
        assert "leak" in found.suspects


@pytest.mark.slow
@pytest.mark.parametrize("edge", [0.0, 0.03, 0.1])
def test_trees_trained_on_an_honest_edge_pass(edge):
    """The whole audit, on three markets each."""
    for seed in range(3):
        found = audit.audit(_market(seed, edge, rows=900)[0], CHOSEN, MARKET, "trees")

        assert found.passed, found.markdown()


def test_leaks_split_over_many_columns_are_found_in_the_forecast():
    """Twelve columns of which none goes with the outcome by more than 0.08: an edge each, but not their forecast."""
    dataset, _ = _market(3)
    for number in range(12):
        dataset = _with(dataset, f"part_{number}", _blurred(dataset.label, 0.08, number))

    found = audit.audit(dataset, CHOSEN, MARKET, "trees")

    assert found.suspects == ("forecast of trees",)


@pytest.mark.parametrize(("horizon", "symbols"), [(1, 30), (20, 30), (5, 2), (5, 1)])
def test_other_horizons_and_narrow_markets_are_audited_alike(horizon, symbols):
    """Where rows are too narrow to rank, columns are ranked over time."""
    dataset, _ = _market(4, horizon=horizon, symbols=symbols, edge=0.05)
    rough = _blurred(dataset.label, 0.6, 4) if symbols > 2 else dataset.label + np.random.default_rng(0).standard_normal((1_000, 1))

    assert _suspects(dataset) == set()
    assert _suspects(_with(dataset, "leak", rough)) == {"leak"}


def test_a_leak_that_is_the_same_for_all_symbols_is_found():
    """The market's mean return over the horizon, repeated for every symbol: no row can be ranked by it."""
    dataset, _ = _market(5)
    market = np.broadcast_to(dataset.forward.mean(axis=1, keepdims=True), dataset.forward.shape)

    assert _suspects(_with(dataset, "leak", market)) == {"leak"}


def test_a_column_of_too_few_rows_is_not_judged():
    """Fifty rows of the label itself."""
    dataset, _ = _market(6)
    column = np.full(dataset.label.shape, np.nan)
    column[100:150] = dataset.label[100:150]

    assert _suspects(_with(dataset, "brief", column)) == set()


def test_a_history_too_short_to_judge_by_is_refused():
    """Rather than passed: 65 rows have 59 outcomes."""
    dataset, _ = _market(6, rows=65)

    with pytest.raises(DataError, match=r"^an audit was asked of 59 rows whose outcome is known, but 60 or more are needed$"):
        audit.suspicious(_columns(dataset), dataset)


def test_rank_ics_are_scipys_for_windows_that_begin_later():
    """Row by row for a column that ranks symbols; over time with the row's mean for one that is the same for all."""
    dataset, _ = _market(7, rows=120, symbols=8)
    outcome = Outcome.of(dataset)
    column, index = (dataset.features[..., k].astype(np.float64) for k in (0, 3))

    for rows in (0, 1, HORIZON, HORIZON + 1):
        last = 120 - HORIZON - 1 - rows
        later = dataset.forward[rows : rows + last]
        expected = [stats.spearmanr(column[t], later[t]).statistic for t in range(last)]
        together = stats.spearmanr(index[:last, 0], later.mean(axis=1)).statistic
        np.testing.assert_allclose(outcome.against(column)(rows)[:last], expected)
        assert np.isnan(outcome.against(column)(rows)[last:]).all()
        assert np.nanmean(outcome.against(index)(rows)) == pytest.approx(together)


def test_every_trait_without_a_suspect_shows_the_column_that_comes_closest():
    """One line each, so that a reader sees how far from the limit the data are."""
    rows = audit.suspicious(_columns(_market(1)[0]), _market(1)[0])

    assert [row.check for row in rows] == [trait.check for trait in audit.TRAITS]
    assert all(row.found <= row.limit for row in rows)
    assert rows[0].subject == "signal"


class Memory(Zero):
    """A family that remembers every label it was handed, those it was told not to learn from as well."""

    family = "memory"

    def fit(self, dataset, train, valid, checkpoint=None):
        """Remember."""
        super().fit(dataset, train, valid)
        self.seen = {
            dataset.features[t, s].tobytes(): dataset.label[t, s]
            for t, s in np.argwhere(np.isfinite(dataset.label) & np.isfinite(dataset.features).all(axis=-1))
        }

    def predict(self, features, scale):
        """Answer."""
        found = [[self.seen.get(features[t, s].tobytes(), 0.0) for s in range(scale.shape[1])] for t in range(len(scale))]
        return contract.unscale(np.array(found)[..., None] + np.linspace(-1, 1, len(LEVELS)), features, scale, self.horizon)


class Peeking(Momentum):
    """A family that measures its input by rows that come after those it learns from."""

    family = "peeking"

    def fit(self, dataset, train, valid, checkpoint=None):
        """Take the mean of all there is."""
        self.centre = 0.0
        super().fit(dataset, train, valid)
        self.centre = float(np.nanmean(dataset.features[..., self.column]))

    def _signal(self, features):
        return super()._signal(features) - self.centre


@pytest.fixture
def cheats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the house have two families that cheat."""
    monkeypatch.setitem(family.FAMILIES, "memory", f"{HERE}:Memory")
    monkeypatch.setitem(family.FAMILIES, "peeking", f"{HERE}:Peeking")


@pytest.mark.usefixtures("cheats")
def test_a_family_that_was_told_the_answers_ranks_shuffled_labels():
    """Its data are clean, and garbage after the cut does not change what it was told before: the shuffle alone tells."""
    found = audit.audit(_market(1, rows=300, symbols=12)[0], CHOSEN, MARKET, "memory")

    assert "shuffled labels" in _failed(found)
    assert "poisoned future" not in _failed(found)
    assert next(row.found for row in found.rows if row.check == "shuffled labels") > 50


@pytest.mark.usefixtures("cheats")
def test_a_family_that_reads_past_its_rows_is_changed_by_garbage_there():
    """A mean over all of history is enough, and nothing else tells."""
    found = audit.audit(_market(1, rows=300, symbols=12)[0], CHOSEN, MARKET, "peeking")

    assert _failed(found) == {"poisoned future"}


def test_labels_stamped_a_horizon_too_late_are_told_by_delayed_features():
    """One bar ahead, and a row too late: features of the row before foretell that label, and its own do not."""
    dataset, _ = _market(2, edge=0.1, memory=0.0, rows=900, horizon=1)
    kept = replace(dataset, features=dataset.features[..., [0, 4]], names=("signal", "fast"))
    late = replace(kept, label=_ahead(kept.label, -1), forward=_ahead(kept.forward, -1))
    market = replace(MARKET, horizon=1)

    assert audit.audit(kept, CHOSEN, market, "trees").passed
    assert _failed(audit.audit(late, CHOSEN, market, "trees")) == {"shifted features"}


def test_labels_stamped_a_row_too_late_go_too_well_with_the_last_bar():
    """A window of five bars that began a row ago overlaps its neighbour: delayed features gain nothing, the last return tells."""
    dataset, _ = _market(2, edge=0.1, memory=0.0)
    late = replace(dataset, label=_ahead(dataset.label, -1), forward=_ahead(dataset.forward, -1))

    assert _suspects(dataset) == set()
    assert "return_1" in _suspects(late)


def _holed(seed: int, symbols: int) -> Dataset:
    dataset, _ = _market(seed, rows=80, symbols=symbols)
    gone = np.random.default_rng(seed).random(dataset.label.shape) < 0.2
    label, forward = (np.where(gone, np.nan, values) for values in (dataset.label, dataset.forward))
    return replace(dataset, label=label, forward=forward, nearer={2: 10.0 * label})


def test_a_shuffle_moves_labels_within_their_row_and_keeps_them_together():
    """Each row has the same labels, unknown ones where they were; forward returns and nearer labels moved with them."""
    dataset = _holed(1, 9)

    mixed = audit.shuffled(dataset, 5)

    np.testing.assert_array_equal(np.sort(mixed.label, axis=1), np.sort(dataset.label, axis=1))
    np.testing.assert_array_equal(np.isnan(mixed.label), np.isnan(dataset.label))
    np.testing.assert_allclose(mixed.forward, mixed.label * dataset.scale * math.sqrt(HORIZON))
    np.testing.assert_array_equal(mixed.nearer[2], 10.0 * mixed.label)
    known = np.isfinite(dataset.label)
    assert np.mean((mixed.label == dataset.label)[known]) < 0.3
    np.testing.assert_array_equal(mixed.features, dataset.features)


def test_a_shuffle_follows_its_seed():
    """The same seed gives the same labels, another one others."""
    dataset = _holed(2, 9)
    first, again, other = (audit.shuffled(dataset, seed).label for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other)[np.isfinite(first)].any()


def test_narrow_markets_are_shuffled_over_time():
    """Two symbols: each keeps its own labels, in any order."""
    dataset = _holed(3, 2)

    mixed = audit.shuffled(dataset, 5)

    np.testing.assert_array_equal(np.sort(mixed.label, axis=0), np.sort(dataset.label, axis=0))
    np.testing.assert_array_equal(np.isnan(mixed.label), np.isnan(dataset.label))
    assert np.mean((mixed.label == dataset.label)[np.isfinite(dataset.label)]) < 0.2


def test_delayed_features_are_those_of_the_row_before():
    """And nothing else has moved."""
    dataset = _holed(4, 4)

    late = audit.delayed(dataset)

    np.testing.assert_array_equal(late.features[1:], dataset.features[:-1])
    assert np.isnan(late.features[0]).all()
    np.testing.assert_array_equal(late.label, dataset.label)


def test_poison_spares_what_lies_before_the_cut():
    """Every column is another after it, to the last row, and the same bits before it."""
    dataset = _holed(5, 4)

    spoilt = audit.poisoned(dataset, 30, 1)

    for before, after in zip(_arrays(dataset), _arrays(spoilt), strict=True):
        np.testing.assert_array_equal(after[:30], before[:30])
        assert not (after[30:] == before[30:]).any()
        assert after.dtype == before.dtype
    assert (spoilt.scale > 0.0).all()


def _arrays(dataset: Dataset) -> list[np.ndarray]:
    return [dataset.features, dataset.forward, dataset.label, dataset.scale, dataset.nearer[2]]


def test_an_audit_is_written_as_a_table():
    """A line a finding, and who is suspected."""
    found = audit.Audit(
        (Finding("size", "volume", 0.4321, 0.3, False, "too large"), Finding("shuffled labels", "trees", -0.5, 3.0, True, "luck"))
    )

    assert not found.passed
    assert found.suspects == ("volume",)
    assert found.markdown().splitlines() == [
        "| check | subject | found | limit | | meaning |",
        "|---|---|---:|---:|---|---|",
        "| size | volume | 0.432 | 0.3 | **suspect** | too large |",
        "| shuffled labels | trees | -0.5 | 3 | passed | luck |",
    ]
