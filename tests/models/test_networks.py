"""Networks: strips hold the windows that a loop would cut, what is served says what the library says, and a killed fit goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.error import ConfigurationError, ModelError, ResourceError
from domain.params import Hardware
from models import family
from models.contract import Dataset
from models.forward import Stream
from models.forward.convolution import Convolution
from models.forward.transformer import Contexts, Transformer
from models.inputs import CLIP_SIGMA, Scaler
from models.networks import device, school, sequence, tft
from models.networks.strips import Strips, windows
from models.sequence import Sequence
from models.tft import Tft
from tests.models.planted import HORIZON, PROCESSOR, planted, training

PLAIN = Scaler(np.zeros(2, dtype=np.float32), np.ones(2, dtype=np.float32))
CPU = torch.device("cpu")


def strips(features: np.ndarray, targets: np.ndarray, rows: np.ndarray, **chosen: int) -> Strips:
    """Return strips on the processor."""
    return Strips(features, targets, rows, PLAIN, device=CPU, **{"context": 3, "span": 2, "budget_bytes": 1 << 30, **chosen})  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.integers(6, 30), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(0, 5), st.integers(1, 3))
def test_an_epoch_is_every_window_with_a_target_as_a_loop_cuts_it(
    bars: int, symbols: int, context: int, span: int, seed: int, blocks: int
) -> None:
    """Each (row, symbol) with a target and its whole context comes once, with exactly the rows before it."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (bars, symbols, 2)).astype(np.float32)
    targets = np.where(rng.random((bars, symbols, 1)) < 0.7, np.arange(bars * symbols).reshape(bars, symbols, 1) + 1.0, np.nan)
    rows = np.flatnonzero(rng.random(bars) < 0.8)
    rows = rows if len(rows) else np.arange(bars)
    wanted = {
        float(targets[t, s, 0]): features[t - context + 1 : t + 1, s]
        for t in rows
        for s in range(symbols)
        if t >= context - 1 and np.isfinite(targets[t, s, 0])
    }
    budget = max(4 * symbols * 3 * (int(rows[-1]) - int(rows[0]) + 1) // blocks, 1)
    cut = strips(features, targets, rows, context=context, span=span, budget_bytes=budget)

    found = {}
    for batch in cut.epoch(1, rng):
        held = windows(batch.inputs, context).reshape(-1, context, 2).numpy()
        for window, target in zip(held, batch.targets.reshape(-1).numpy(), strict=True):
            if np.isfinite(target):
                assert float(target) not in found
                found[float(target)] = window

    assert found.keys() == wanted.keys()
    for name, window in wanted.items():
        np.testing.assert_array_equal(found[name], window)


def test_ranks_share_each_batch_without_overlap() -> None:
    """Two processes of one order have together what one alone has."""
    features = np.zeros((40, 3, 2), dtype=np.float32)
    targets = np.arange(120.0).reshape(40, 3, 1)
    cut = strips(features, targets, np.arange(40))

    alone = [batch.targets for batch in cut.epoch(16, np.random.default_rng(5))]
    shares = [[batch.targets for batch in cut.epoch(16, np.random.default_rng(5), rank, 2)] for rank in range(2)]

    for whole, first, second in zip(alone, *shares, strict=True):
        assert torch.equal(whole[0::2].nan_to_num(-1), first.nan_to_num(-1))
        assert torch.equal(whole[1::2].nan_to_num(-1), second.nan_to_num(-1))


def test_inputs_are_measured_on_what_is_learned_from_and_dates_are_left_out() -> None:
    """Median and interquartile range as numpy has them; a feature that only counts the days says nothing."""
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 2.0, (300, 5, 2)).astype(np.float32)
    features[..., 1] = np.arange(300)[:, None]
    features[7, 2, 0] = np.nan

    scaler = Scaler.fit(features)
    found = scaler.apply(features)

    low, middle, high = np.nanquantile(features[..., 0], (0.25, 0.5, 0.75))
    expected = np.clip((features[..., 0] - middle) / ((high - low) / 1.3489795), -CLIP_SIGMA, CLIP_SIGMA)
    np.testing.assert_allclose(found[..., 0], np.nan_to_num(expected), atol=1e-5)
    assert not found[..., 1].any()


def rough(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network with weights that are far from where learning begins."""
    torch.manual_seed(3)
    with torch.no_grad():
        for each in network.parameters():
            each.add_(0.2 * torch.randn_like(each))
    return network.eval()


def fused(steps: int, heads: int, continuous: int) -> Transformer:
    """Return a transformer of six features over ten bars, as it is served."""
    names = tuple(f"x{place}" for place in range(6))
    network = rough(tft.Fused(tft.Architecture(names, 10, steps, 5, 8, continuous, heads, 0.1)))
    return Transformer(school.arrays(network), 10, steps, heads)


def told(stream: Stream, inputs: np.ndarray) -> np.ndarray:
    """Return [T, S, O] what a stream says of each bar of [T, S, F], its context there or not."""
    said = []
    for row in inputs:
        stream.enter(row)
        said.append(stream.said())
    return np.stack(said)


def test_the_served_convolution_is_torchs() -> None:
    """Bar by bar, each of which makes one row a layer: within 1e-5, on every bar that has its context."""
    network = rough(sequence.Convolutional(7, 16, 3, 0.1))
    inputs = np.random.default_rng(1).standard_normal((30, 9, 7)).astype(np.float32)

    served = told(Convolution(school.arrays(network), 9), inputs)

    with torch.inference_mode():
        expected = network(torch.from_numpy(np.ascontiguousarray(inputs.transpose(1, 0, 2)))).numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(served[7:], expected, atol=1e-5)


@pytest.mark.parametrize(("steps", "heads", "continuous"), [(1, 1, 2), (3, 2, 4), (2, 4, 5)])
def test_the_served_transformer_is_pytorch_forecastings(steps: int, heads: int, continuous: int) -> None:
    """The library's own forward pass, our fused one and the served one, window by window, within 1e-5."""
    names = tuple(f"x{place}" for place in range(6))
    architecture = tft.Architecture(names, 10, steps, 5, 8, continuous, heads, 0.1)
    network = rough(tft.Fused(architecture))
    inputs = np.random.default_rng(2).standard_normal((14, 4, 6)).astype(np.float32)
    bars = torch.from_numpy(np.ascontiguousarray(inputs.transpose(1, 0, 2)))

    served = told(Transformer(school.arrays(network), 10, steps, heads).stream(4), inputs)[9:]

    with torch.inference_mode():
        cut = windows(bars, 10)
        library = network.library(tft.asked(cut.reshape(-1, 10, 6), architecture))["prediction"].reshape(4, 5, steps, 5).numpy()
        fused = network(bars).reshape(4, 5, steps, 5).numpy()
    np.testing.assert_allclose(fused, library, atol=1e-5)
    np.testing.assert_allclose(served.transpose(1, 0, 2).reshape(library.shape), library, atol=1e-5)


def convolved() -> Callable[[int], Stream]:
    """Return what makes streams of one convolutional network of six features."""
    weights = school.arrays(rough(sequence.Convolutional(6, 7, 3, 0.1)))
    return lambda symbols: Convolution(weights, symbols)


@pytest.mark.parametrize("network", [convolved, lambda: fused(2, 2, 4).stream], ids=["convolution", "transformer"])
def test_a_symbol_is_told_the_same_bits_in_any_lane(network: Callable[[], Callable[[int], Stream]]) -> None:
    """Alone, among some that fill two blocks and a bit, and in any order."""
    stream = network()
    inputs = np.random.default_rng(4).standard_normal((12, 37, 6)).astype(np.float32)
    order = np.random.default_rng(5).permutation(37)

    together = told(stream(37), inputs)

    assert np.isfinite(together[9:]).all()
    np.testing.assert_array_equal(told(stream(37), inputs[:, order])[9:], together[9:, order])
    for symbol in (0, 16, 36):
        np.testing.assert_array_equal(told(stream(1), inputs[:, [symbol]])[9:], together[9:, [symbol]])


def test_what_is_said_of_a_symbol_follows_its_static_context() -> None:
    """Each of the four contexts moves the symbol that it is of and no other; the library's own where there is none."""
    inputs = np.random.default_rng(6).standard_normal((10, 3, 6)).astype(np.float32)
    network = fused(1, 2, 4)
    plain = told(network.stream(3), inputs)[-1]

    for place, name in enumerate(Contexts._fields):
        contexts = Contexts(*(each.copy() for each in network.alike(3)))
        contexts[place][1] += 0.5
        stream = network.stream(3)
        stream.situate(contexts)
        said = told(stream, inputs)[-1]
        assert np.abs(said[1] - plain[1]).max() > 1e-4, name
        np.testing.assert_array_equal(said[[0, 2]], plain[[0, 2]])


@pytest.mark.parametrize("bar", [0, 3, 6, 7])
def test_a_context_that_was_corrected_is_read_anew(bar: int) -> None:
    """One value of one symbol, missing or not, at either end or between: the forecast is that of a model that saw nothing else."""
    dataset = planted(bars=120, symbols=20)
    model, fresh = Sequence.create(training(), HORIZON), Sequence.create(training(), HORIZON)
    for each in (model, fresh):
        each.fit(dataset, np.arange(110), np.arange(0))
    for last in range(110, 117):
        model.predict(dataset.features[last - 8 : last], dataset.scale[last - 8 : last])
    for value in (0.25, np.nan):
        features, scale = dataset.features[109:117].copy(), dataset.scale[109:117]
        features[bar, 19, -1] = value

        found = model.predict(features, scale)

        np.testing.assert_array_equal(found, fresh.predict(features, scale))


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained elsewhere instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = Hardware(device="cuda", devices=1, nodes=1, bf16=True, graph=True, compile=False, workers=1)
    model, dataset = Sequence.create(training(hardware=asked), HORIZON), planted()

    with pytest.raises(ConfigurationError, match="'cuda' was asked for, but torch finds no GPU"):
        model.fit(dataset, np.arange(200), np.arange(0))


@pytest.mark.parametrize("name", sorted(family.FAMILIES.keys() - {"ensemble"}))
def test_no_family_is_trained_where_a_gpu_was_asked_for_and_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees, too, which would not use it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = Hardware(device="cuda", devices=1, nodes=1, bf16=False, graph=False, compile=False, workers=1)

    with pytest.raises(ConfigurationError, match="'cuda' was asked for, but torch finds no GPU"):
        family.create(training(hardware=asked), HORIZON, family=name)


def test_fast_numbers_are_a_gpus_business() -> None:
    """On a processor they are refused where they are asked for."""
    with pytest.raises(ValueError, match="bf16 and compile are for device cuda"):
        Hardware(device="cpu", devices=1, nodes=1, bf16=True, graph=False, compile=True, workers=1)
    assert device.chosen("cpu") == CPU


def test_a_history_without_any_context_is_refused() -> None:
    """With how many bars there were and how many a forecast reads."""
    dataset = planted(bars=360, symbols=60)
    model = Sequence.create(training(), HORIZON)

    with pytest.raises(ModelError, match="a network was to learn from 6 bars, but none has 8 bars before it"):
        model.fit(dataset, np.arange(6), np.arange(0))


WORKER = """
import sys
from collections.abc import Callable
from pathlib import Path
import numpy as np
from models.sequence import Sequence
from models.networks import fitting
from tests.models.planted import HORIZON, planted, training

if len(sys.argv) > 3:
    kept = fitting._History.on_validation_epoch_end
    def slow(self, trainer, module):
        kept(self, trainer, module)
        print(len(self.valid), flush=True)
        import time; time.sleep(0.3)
    fitting._History.on_validation_epoch_end = slow
model = Sequence.create(training(), HORIZON)
model.fit(planted(), np.arange(200), np.arange(210, 240), Path(sys.argv[1]))
model.save(Path(sys.argv[2]))
"""


def test_a_fit_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """`kill -9` after the second pass; the second run takes the passes that are left and ends where an undisturbed one ends."""
    command = [sys.executable, "-c", WORKER, str(tmp_path / "begun"), str(tmp_path / "after")]
    with subprocess.Popen([*command, "slowly"], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        while killed.stdout.readline().strip() != "3":
            assert killed.poll() is None
        os.kill(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    begun = torch.load(tmp_path / "begun" / "last.ckpt", weights_only=True)["epoch"]

    subprocess.run(command, check=True, timeout=120)
    undisturbed = [sys.executable, "-c", WORKER, str(tmp_path / "fresh"), str(tmp_path / "whole")]
    subprocess.run(undisturbed, check=True, timeout=120)

    assert begun >= 1
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(json.loads((tmp_path / "after" / "model.json").read_text())["curve"]) > begun


def test_the_transformer_learns_nearer_horizons_and_says_what_it_looks_at() -> None:
    """A fan over all horizons, in order; shares of features and of rows that sum to 1."""
    dataset = planted(bars=500, symbols=12, edge=0.8)
    nearer = {1: dataset.label * 0.5 + 0.1, 3: dataset.label * 0.9}
    model = Tft.create(training(), HORIZON)
    model.fit(Dataset(**{**dataset.__dict__, "nearer": nearer}), np.arange(400), np.arange(0))

    fan = model.fan(dataset.features, dataset.scale)

    assert model.horizons == (1, 3, HORIZON)
    assert fan.shape == (*dataset.scale.shape, 3, 5)
    known = np.isfinite(fan).all(axis=(2, 3))
    assert known[7:].mean() > 0.9
    assert (np.diff(fan[known], axis=-1) >= 0.0).all()
    assert sum(model.importance().values()) == pytest.approx(1.0)
    assert len(model.insight.attention) == model.context_bars
    assert sum(model.insight.attention) == pytest.approx(1.0)


def test_serving_needs_neither_torch_nor_pickle(tmp_path: Path) -> None:
    """A process that loads networks and forecasts has imported no torch and unpickled nothing."""
    for each in (Sequence.create(training(), HORIZON), Tft.create(training(), HORIZON)):
        each.fit(planted(), np.arange(200), np.arange(0))
        each.save(tmp_path / each.family)
    told = (
        "import sys; from pathlib import Path; seen = []\n"
        "from models import family; from tests.models.planted import planted; data = planted()\n"
        "def forecast():\n"
        "    for name in ('sequence', 'tft'):\n"
        f"        family.load(Path({str(tmp_path)!r}) / name).predict(data.features, data.scale)\n"
        "forecast()  # numba reads the index of its own machine code with pickle, once\n"
        "sys.addaudithook(lambda event, _: seen.append(event) if event.startswith('pickle') else None)\n"
        "forecast()\n"
        "print([name for name in ('torch', 'lightning', 'xgboost') if name in sys.modules], seen)\n"
    )

    said = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=300)

    assert said.stdout.strip() == "[] []"


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Each with half of every batch, over gloo: the same weights within rounding, dropout aside."""
    alone = training()
    alone = alone.model_copy(update={"sequence": alone.sequence.model_copy(update={"dropout": 0.0})})
    both = alone.model_copy(update={"hardware": PROCESSOR.model_copy(update={"devices": 2})})
    dataset, found = planted(), []
    for chosen in (alone, both):
        model = Sequence.create(chosen, HORIZON)
        model.fit(dataset, np.arange(200), np.arange(210, 240))
        found.append(model)

    one, two = found
    assert one.rounds == two.rounds
    np.testing.assert_allclose(one.curve, two.curve, rtol=1e-4)
    np.testing.assert_allclose(
        one.predict(dataset.features, dataset.scale), two.predict(dataset.features, dataset.scale), atol=1e-4, equal_nan=True
    )


def test_processes_that_fail_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """And several machines need a place to meet."""
    monkeypatch.delenv("NIGHTSHIFT_RENDEZVOUS", raising=False)
    apart = training(hardware=PROCESSOR.model_copy(update={"nodes": 2}))

    with pytest.raises(ConfigurationError, match="nodes 2 was asked for, but NIGHTSHIFT_RENDEZVOUS names no host:port"):
        Sequence.create(apart, HORIZON).fit(planted(), np.arange(200), np.arange(0))

    wild = training(hardware=PROCESSOR.model_copy(update={"devices": 2}))
    wild = wild.model_copy(update={"sequence": wild.sequence.model_copy(update={"rate": 1e30})})
    with pytest.raises(ResourceError, match=r"fitted by 2 processes, but they ended with code 1: .*"):
        Sequence.create(wild, HORIZON).fit(planted(), np.arange(200), np.arange(0))
