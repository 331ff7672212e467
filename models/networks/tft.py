"""The Temporal Fusion Transformer: pytorch-forecasting's network and weights, with a forward pass of our own.

Lim et al. 2021, International Journal of Forecasting 37(4). The library walks through its variables in Python, a dozen small
kernels each, for every row of every window. What it computes for a row of the encoder does not depend on the window that the row is
seen in, so here it is done once a row, for all variables side by side; the windows are cut afterwards. The outputs are the
library's within rounding, its state is the only one there is, and its own forward pass remains for what it can tell of itself.

Features whose names say that they are static tell a symbol from others (4.3 of the paper): which variables are taken of a row is
decided in the light of that row's own, memory and enrichment in that of the newest row's. Where they do not change within a window
that is the library's network.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.contract import Float32Array
from models.forward import Weights
from models.inputs import CLASSES, Places
from models.networks import school
from models.networks.strips import windows

STEP = "step"


@dataclass(frozen=True)
class Architecture:
    """What decides the network, apart from its weights."""

    features: tuple[str, ...]
    """Known of every row of the context, what is static included."""
    context: int
    """Rows that a forecast reads."""
    steps: int
    """Horizons that are forecast, one a step of the decoder."""
    quantiles: int
    hidden: int
    continuous: int
    """Size in which each variable is first written."""
    heads: int
    dropout: float


def library(architecture: Architecture) -> Any:
    """Return pytorch-forecasting's network; it knows of each horizon its place in their order, which the encoder is not told."""
    from pytorch_forecasting.data.encoders import TorchNormalizer
    from pytorch_forecasting.metrics import QuantileLoss
    from pytorch_forecasting.models.temporal_fusion_transformer import TemporalFusionTransformer

    places = Places.of(architecture.features)
    names, codes, measures = named("f", places.varying), named("c", places.codes), named("s", places.measures)
    with warnings.catch_warnings():
        # The library keeps its own arguments, modules included, and Lightning advises against it.
        warnings.filterwarnings("ignore", module="lightning")
        return TemporalFusionTransformer(
            hidden_size=architecture.hidden,
            lstm_layers=1,
            dropout=architecture.dropout,
            output_size=architecture.quantiles,
            loss=QuantileLoss(),
            attention_head_size=architecture.heads,
            max_encoder_length=architecture.context,
            hidden_continuous_size=architecture.continuous,
            static_categoricals=codes,
            static_reals=measures,
            x_categoricals=codes,
            embedding_sizes=dict.fromkeys(codes, (CLASSES, architecture.continuous)),
            time_varying_reals_encoder=names,
            time_varying_reals_decoder=[STEP],
            x_reals=[*names, *measures, STEP],
            logging_metrics=nn.ModuleList(),
            output_transformer=TorchNormalizer(method="identity", center=False),
            causal_attention=True,
        )


def named(letter: str, places: tuple[int, ...]) -> list[str]:
    """Return the library's names of variables: what they are called elsewhere may be no name of a module."""
    return [f"{letter}{number}" for number in range(len(places))]


def asked(windows: Tensor, architecture: Architecture) -> dict[str, Tensor]:
    """Return windows [N, context, F] in the form that the library's forward pass takes; what is static is that of the last row."""
    count, context, steps = len(windows), architecture.context, architecture.steps
    chosen = Places.of(architecture.features)
    static = windows[:, -1:].expand(-1, context + steps, -1)
    varying = functional.pad(windows[..., list(chosen.varying)], (0, 0, 0, steps))
    step = functional.pad(places(steps, windows), (0, 0, context, 0)).expand(count, -1, -1)
    numbers = torch.cat((varying, static[..., list(chosen.measures)], step), dim=2)
    classes = static[..., list(chosen.codes)].long()
    return {
        "encoder_cat": classes[:, :context],
        "decoder_cat": classes[:, context:],
        "encoder_cont": numbers[:, :context],
        "decoder_cont": numbers[:, context:],
        "encoder_lengths": torch.full((count,), context, device=windows.device),
        "decoder_lengths": torch.full((count,), steps, device=windows.device),
        "target_scale": torch.tensor([0.0, 1.0], device=windows.device).expand(count, 2),
    }


def places(steps: int, like: Tensor) -> Tensor:
    """Return [steps, 1] the place of each horizon in their order, from 0 to 1."""
    return torch.linspace(0.0, 1.0, steps, device=like.device)[:, None] if steps > 1 else torch.ones(1, 1, device=like.device)


def insight(architecture: Architecture, weights: Weights, windows: Float32Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what the library says of windows [N, context, F]: shares of the features taken, and of the rows attended to.

    It chooses twice, among what varies and among what is static; each choice counts with the number of features that it is among:
    one that is taken as much as the others has the same share in either.
    """
    network = Fused(architecture)
    network.load_state_dict(school.tensors(weights))
    network.eval()
    with torch.inference_mode():
        told = network.library(asked(torch.from_numpy(np.ascontiguousarray(windows)), architecture))
        read = network.library.interpret_output(told, reduction="mean", attention_prediction_horizon=architecture.steps - 1)
    taken, chosen = torch.zeros(len(architecture.features)), Places.of(architecture.features)
    for places, shares in ((chosen.varying, read["encoder_variables"]), (chosen.static, read["static_variables"])):
        taken[list(places)] = shares / shares.sum() * (len(places) / len(taken))
    attention = read["attention"][: architecture.context]
    return tuple(taken.tolist()), tuple((attention / attention.sum()).tolist())


class Fused(nn.Module):
    """The network over strips; see the module."""

    narrowing: Tensor
    narrowing_static: Tensor
    widening: Tensor
    classes: Tensor
    varying: Tensor
    measures: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.context = architecture.context
        self.places = Places.of(architecture.features)
        self.library = library(architecture)
        size = architecture.continuous
        for name, places in (("narrowing", self.places.varying), ("narrowing_static", self.places.static)):
            if places:
                self.register_buffer(name, stretching(len(places) * size, len(places)), persistent=False)
        self.register_buffer("widening", stretching(size, architecture.hidden), persistent=False)
        self.register_buffer("classes", torch.arange(CLASSES), persistent=False)
        # Places lie where the network does: a list would be copied there at each step, which no graph can record.
        self.register_buffer("varying", torch.tensor(self.places.varying), persistent=False)
        self.register_buffer("measures", torch.tensor(self.places.measures, dtype=torch.long), persistent=False)

    def forward(self, strips: Tensor) -> Tensor:
        """Return [B, span, steps * Q] quantiles of strips [B, context + span - 1, F]."""
        static = self.static(strips)
        cut = windows(self.rows(strips, static), self.context)
        count, span = cut.shape[:2]
        newest = None if static is None else static[:, self.context - 1 :].reshape(count * span, 1, -1)
        told = self.told(cut.reshape(count * span, self.context, -1), newest)
        return told.reshape(count, span, -1)

    def static(self, inputs: Tensor) -> Tensor | None:
        """Return [B, L, d] what the static variable selection makes of each row of [B, L, F], or None where nothing is static."""
        if not self.places.static:
            return None
        chosen = self.library.static_variable_selection
        written, alone = [], []
        for place, name in zip(self.places.codes, named("c", self.places.codes), strict=True):
            # A product, where a look-up would sort on a GPU to add up gradients, and could not be recorded.
            held = (inputs[..., place, None] == self.classes).to(inputs.dtype) @ self.library.input_embeddings[name].weight
            written.append(held)
            alone.append(_stretched(chosen.single_variable_grns[name], held, self.widening)[..., None, :])
        if self.places.measures:
            numbers = _alone(chosen, inputs.index_select(-1, self.measures), self.widening, self.architecture.dropout)
            written.append(numbers[0])
            alone.append(numbers[1])
        beside = torch.cat(alone, dim=-2)
        if len(self.places.static) == 1:
            return beside[..., 0, :]
        weights = torch.softmax(_gated(chosen.flattened_grn, torch.cat(written, dim=-1), None, self.narrowing_static), dim=-1)
        return torch.einsum("...fd,...f->...d", beside, weights)

    def rows(self, inputs: Tensor, static: Tensor | None) -> Tensor:
        """Return [B, L, d] what the variable selection makes of each row of [B, L, F]; rows know nothing of each other."""
        chosen = self.library.encoder_variable_selection
        varying = inputs if static is None else inputs.index_select(-1, self.varying)
        written, alone = _alone(chosen, varying, self.widening, self.architecture.dropout)
        context = self._context("static_context_variable_selection", static)
        weights = torch.softmax(_gated(chosen.flattened_grn, written, context, self.narrowing), dim=-1)
        return torch.einsum("...fd,...f->...d", alone, weights)

    def told(self, rows: Tensor, static: Tensor | None) -> Tensor:
        """Return [N, steps, Q] quantiles of windows of selected rows [N, context, d], with what is static of each [N, 1, d]."""
        net, count = self.library, len(rows)
        ahead = places(self.architecture.steps, rows)
        known = net.decoder_variable_selection
        decoded = _gated(known.single_variable_grns[STEP], known.prescalers[STEP](ahead), None, self.widening)
        decoded = decoded.expand(count, -1, -1)
        hidden, cell = (
            self._context(f"static_context_initial_{name}_lstm", static).reshape(-1, decoded.shape[2]).expand(1, count, -1)
            for name in ("hidden", "cell")
        )
        remembered, state = nn.LSTM.forward(net.lstm_encoder, rows, (hidden.contiguous(), cell.contiguous()))
        foreseen, _ = nn.LSTM.forward(net.lstm_decoder, decoded.contiguous(), state)
        local = torch.cat((remembered, foreseen), dim=1)
        local = net.post_lstm_add_norm_encoder(net.post_lstm_gate_encoder(local), torch.cat((rows, decoded), dim=1))
        enriched = net.static_enrichment(local, self._context("static_context_enrichment", static))
        ask = enriched[:, self.context :]
        seen = _attended(net.multihead_attn, ask, enriched, self._mask(rows))
        out = net.pos_wise_ff(net.post_attn_gate_norm(seen, ask))
        answer: Tensor = net.output_layer(net.pre_output_gate_norm(out, local[:, self.context :]))
        return answer

    def _context(self, name: str, static: Tensor | None) -> Tensor:
        """Return [..., d] what a static encoder makes of [..., d], or [d] what it makes of nothing, the same for every sample."""
        encoder = getattr(self.library, name)
        nothing = torch.zeros(1, self.architecture.hidden, device=encoder.fc1.weight.device)
        out: Tensor = encoder(nothing)[0] if static is None else encoder(static)
        return out

    def _mask(self, like: Tensor) -> Tensor:
        """Return [1, steps, context + steps] true where a horizon must not look: at itself and later ones."""
        steps = self.architecture.steps
        ahead = torch.ones(steps, steps, dtype=torch.bool, device=like.device).triu()
        return functional.pad(ahead, (self.context, 0), value=False)[None]


class Pinball(nn.Module):
    """The objective: pinball losses averaged over levels."""

    levels: Tensor

    def __init__(self, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return [B, span, steps] losses of outputs [B, span, steps * Q]."""
        error = targets[..., None] - outputs.reshape(*targets.shape, -1)
        return torch.maximum(self.levels * error, (self.levels - 1.0) * error).mean(dim=-1)


def stretching(size: int, wanted: int) -> Tensor:
    """Return [size, wanted] the matrix that interpolates an axis linearly to `wanted` places, ends kept.

    The gradient of a product is the same bits again and again, that of the library's interpolation on a GPU is not.
    """
    return functional.interpolate(torch.eye(size)[:, None], wanted, mode="linear", align_corners=True)[:, 0]


def _alone(chosen: Any, inputs: Tensor, widening: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """Return what each number is written as, all in one [..., F * c], and what its own network makes of it [..., F, d]."""
    names = list(chosen.prescalers)
    scalers = [chosen.prescalers[name] for name in names]
    networks = [chosen.single_variable_grns[name] for name in names]
    weight, bias = (torch.stack([getattr(each, name).reshape(-1) for each in scalers]) for name in ("weight", "bias"))
    written = torch.addcmul(bias, inputs[..., None], weight)
    first, second = (_side_by_side([getattr(each, name) for each in networks]) for name in ("fc1", "fc2"))
    gate = _side_by_side([each.gate_norm.glu.fc for each in networks])
    held = functional.elu(_linear(written, *first))
    held = functional.dropout(_linear(held, *second), dropout, chosen.training)
    held = functional.glu(_linear(held, *gate), dim=-1)
    stretched = [each.resample_norm for each in networks]
    share = 2.0 * torch.sigmoid(torch.stack([each.mask for each in stretched]))
    beside = _normed(written @ widening * share, [each.norm for each in stretched])
    return written.flatten(-2), _normed(held + beside, [each.gate_norm.add_norm.norm for each in networks])


def _attended(attention: Any, ask: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Return [N, steps, d] the library's attention of `ask` [N, steps, d] over `keys` [N, L, d], whose heads share their values."""
    dropout = attention.dropout
    weight, bias = _side_by_side(list(attention.q_layers))
    asked = torch.einsum("nsd,hkd->nhsk", ask, weight) + bias[:, None]
    weight, bias = _side_by_side(list(attention.k_layers))
    known = torch.einsum("nld,hkd->nhlk", keys, weight) + bias[:, None]
    scores = asked @ known.transpose(2, 3) / asked.shape[-1] ** 0.5
    shares = torch.softmax(scores.masked_fill(mask[:, None], attention.mask_bias), dim=-1)
    heads = dropout(shares @ attention.v_layer(keys)[:, None])
    out: Tensor = dropout(attention.w_h(heads.mean(dim=1)))
    return out


def _side_by_side(layers: list[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Return [F, out, in] weights and [F, out] biases."""
    return torch.stack([each.weight for each in layers]), torch.stack([each.bias for each in layers])


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return [..., F, out] each variable's own layer of [..., F, in]."""
    return torch.einsum("...fi,foi->...fo", inputs, weight) + bias


def _normed(values: Tensor, norms: list[nn.LayerNorm]) -> Tensor:
    """Return [..., F, d] each variable's own layer norm."""
    weight, bias = torch.stack([each.weight for each in norms]), torch.stack([each.bias for each in norms])
    return torch.addcmul(bias, functional.layer_norm(values, values.shape[-1:], eps=norms[0].eps), weight)


def _stretched(resample: Any, inputs: Tensor, stretching: Tensor) -> Tensor:
    """Return the library's resampling of [..., in] to [..., out], weighed and normed."""
    out: Tensor = resample.norm(inputs @ stretching * (2.0 * torch.sigmoid(resample.mask)))
    return out


def _gated(grn: Any, inputs: Tensor, context: Tensor | None, stretching: Tensor) -> Tensor:
    """Return the library's gated residual network of [..., in] in a context [..., d]; its residual is stretched like theirs."""
    held = functional.elu(grn.fc1(inputs) if context is None else grn.fc1(inputs) + grn.context(context))
    beside = _stretched(grn.resample_norm, inputs, stretching)
    out: Tensor = grn.gate_norm.add_norm.norm(grn.gate_norm.glu(grn.fc2(held)) + beside)
    return out
