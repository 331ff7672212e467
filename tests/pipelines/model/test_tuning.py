"""Tuning finds better settings, sees nothing that is judged later, and shares its trials."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from domain import params
from domain.error import ModelError
from domain.params import Params, Search
from pipelines.model import training, tuning
from pipelines.model.tuning import Tried
from tests.models.planted import planted
from tests.models.planted import training as small
from tests.pipelines.model.test_training import MARKET

BARS = 900
ROOT = Path(__file__).parents[3]


@pytest.fixture
def chosen() -> Params:
    """Return the parameters that tests train with."""
    return params.load(ROOT / "params.yaml", "sim_equity", "tiny").model_copy(update={"training": small()})


@pytest.fixture
def asked(chosen: Params) -> Params:
    """Return parameters that allow six trials of two folds."""
    return searching(chosen, trials=6)


def searching(chosen: Params, trials: int) -> Params:
    search = Search(trials=trials, minutes=5, folds=2)
    return chosen.model_copy(update={"training": chosen.training.model_copy(update={"search": search})})


def test_the_search_sees_no_row_that_is_judged_later(asked: Params, tmp_path: Path):
    """Whatever happens from the first fold's gap on changes no trial."""
    dataset = planted(bars=BARS)
    first = training.split(dataset, asked, MARKET)[0].train[-1] + 1
    features, label, forward = dataset.features.copy(), dataset.label.copy(), dataset.forward.copy()
    features[first:], label[first:], forward[first:] = 9.0, -9.0, -9.0
    other = replace(dataset, features=features, label=label, forward=forward)

    found = [tuning.search(each, asked, MARKET, "trees", tmp_path / str(k)) for k, each in enumerate((dataset, other))]

    assert found[0] == found[1]
    assert len(found[0].tried) == 6


def test_the_best_of_all_trials_is_returned_and_lies_in_its_space(asked: Params, tmp_path: Path):
    """Its value is the highest of those finished, and training takes its settings as if they stood in params.yaml."""
    found = tuning.search(planted(bars=BARS), asked, MARKET, "trees", tmp_path)

    complete = [each for each in found.tried if each.state == "complete"]
    assert found.value == max(each.value for each in complete)
    for name, space in tuning.SPACES["trees"].items():
        assert all(space.low <= each.settings[name] <= space.high for each in found.tried)
    settled = tuning.settled(asked.training, "trees", found.settings)
    assert settled.trees.depth == found.settings["depth"]
    assert settled.sequence == asked.training.sequence


def test_a_trial_is_worth_the_rank_ic_of_its_purged_folds(asked: Params, tmp_path: Path):
    """Computed again from the settings with scipy, fold by fold."""
    from scipy.stats import spearmanr

    from domain.forecast import MEDIAN
    from features import labels
    from models import splits

    dataset = planted(bars=BARS)
    found = tuning.search(dataset, asked, MARKET, "trees", tmp_path)
    known = tuning.before(dataset, asked, MARKET)
    best = asked.model_copy(update={"training": tuning.settled(asked.training, "trees", found.settings)})
    gap = labels.known_after(MARKET.horizon)
    folds = splits.walk_forward(known.bars, 2, asked.training.train_fraction, gap, asked.training.embargo_bars)
    forecasts, _ = training.walk(known, best, MARKET, folds, "trees")
    rows = []
    for median, outcome in zip(forecasts[..., MEDIAN], known.forward, strict=True):
        pairs = np.isfinite(median) & np.isfinite(outcome)
        if pairs.sum() >= 3:
            rows.append(spearmanr(median[pairs], outcome[pairs]).statistic)

    assert found.value == pytest.approx(np.mean(rows), rel=1e-9)


def test_a_begun_search_goes_on(chosen: Params, tmp_path: Path):
    """Three trials, then up to six: the first three are not made again, and all are what one search of six would have tried."""
    heard: list[Tried] = []
    dataset = planted(bars=BARS)
    first = tuning.search(dataset, searching(chosen, 3), MARKET, "trees", tmp_path)

    again = tuning.search(dataset, searching(chosen, 6), MARKET, "trees", tmp_path, heard.append)

    assert again.tried[:3] == first.tried
    assert [each.number for each in heard] == [3, 4, 5]
    whole = tuning.search(dataset, searching(chosen, 6), MARKET, "trees", tmp_path / "whole")
    assert again.tried == whole.tried
    assert len({tuple(each.settings.values()) for each in again.tried}) == 6


WORKER = """
import sys
from pathlib import Path
from domain import params
from domain.params import Search
from pipelines.model import tuning
from tests.models.planted import planted
from tests.pipelines.model.test_training import MARKET
chosen = params.load(Path("params.yaml"), profile="tiny")
search = Search(trials=6, minutes=5, folds=2)
chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update={"search": search})})
heard = []
tuning.search(planted(bars=900), chosen, MARKET, "trees", Path(sys.argv[1]), heard.append)
print(len(heard))
"""


def test_two_processes_share_one_search(tmp_path: Path):
    """Each makes some of the trials, together about as many as were asked for."""
    both = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(2)]

    made = [int(each.communicate(timeout=300)[0]) for each in both]

    assert [each.returncode for each in both] == [0, 0]
    # Both may begin their last trial before either has ended its own.
    assert 6 <= sum(made) <= 7
    assert min(made) >= 1
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    tried = optuna.load_study(study_name="trees", storage=storage).get_trials(deepcopy=False)
    assert len({tuple(each.params.values()) for each in tried}) == len(tried) == sum(made)


def test_a_family_without_settings_is_refused(asked: Params, tmp_path: Path):
    """With the nearest that has some."""
    with pytest.raises(ModelError, match="family 'tree' was to be tuned, but it has nothing to search: did you mean 'trees'"):
        tuning.search(planted(bars=BARS), asked, MARKET, "tree", tmp_path)


def test_the_table_tells_the_best_so_far():
    """A pruned trial is no best, whatever it had reached."""
    told = ((0.1, "complete"), (0.9, "pruned"), (0.2, "complete"), (math.nan, "fail"))
    tried = tuple(Tried(number, {}, value, state) for number, (value, state) in enumerate(told))

    table = tuning.table({"trees": tuning.Tuned("trees", {}, 0.2, tried)})

    assert table["best"].to_list() == [0.1, 0.1, 0.2, 0.2]
