"""Learner: one optimisation step, plain or as a recorded graph, in the form that Lightning's trainer drives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from models.networks.strips import Batch

#: Elementwise loss [B, span, K] of outputs and targets; targets are finite where they count.
Objective = Callable[[Tensor, Tensor], Tensor]

#: Shares of all steps in which the step size rises to its peak and, at the end, falls to nothing (Hu et al. 2024, MiniCPM, 4).
WARM_SHARE, FALL_SHARE = 0.05, 0.3
#: Steps before a graph is recorded: libraries choose their algorithms and allocate in these.
PLAIN_STEPS = 3


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted."""

    steps: int
    """Of a whole run: what the step size is laid over, however early it stops."""
    rate: float
    """Peak step size of AdamW (Loshchilov and Hutter 2019, ICLR)."""
    decay: float
    """Decoupled weight decay."""
    clip: float
    """Largest norm of the gradient."""
    bf16: bool = False
    """Multiply in bfloat16; a GPU's business: on a processor it is many times slower."""
    graph: bool = False
    """Record a step once as a CUDA graph and play it: small networks wait for launches, not for arithmetic."""
    compiled: bool = False
    """Let torch write kernels for the network; worth its minutes on a GPU and a long run."""

    def share(self, step: int) -> float:
        """Return the step size of a step as a share of the peak."""
        warm = max(int(self.steps * WARM_SHARE), 1)
        left = max(self.steps - step, 0) / max(int(self.steps * FALL_SHARE), 1)
        return min((step + 1) / warm, left, 1.0)


class Learner(lightning.LightningModule):
    """A network, what it is asked for, and how it is optimised.

    All parameters are views of one vector and all gradients of another, so that a step of the optimiser, the clipping and the
    zeroing are a few kernels however many small layers there are.
    """

    _flat: "Flat"

    def __init__(self, network: nn.Module, objective: Objective, schedule: Schedule) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.objective, self.schedule = network, objective, schedule
        self._answer = torch.compile(network.forward, dynamic=False) if schedule.compiled else network.forward
        self._recorded: _Recorded | None = None

    def configure_optimizers(self) -> Any:
        """Return AdamW over the one vector, and its schedule."""
        self._flat, chosen = Flat(self.network), self.schedule
        rate: Any = torch.tensor(chosen.rate, device=self.device) if chosen.graph else chosen.rate
        fused = self.device.type == "cuda"
        optimizer = torch.optim.AdamW([self._flat.values], rate, weight_decay=chosen.decay, fused=fused, capturable=chosen.graph)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.share)]

    def on_train_epoch_start(self) -> None:
        """Tie the gradients again: the trainer drops them before it begins."""
        self._flat.tie()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return the batch: it was gathered where it is needed."""
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one step."""
        optimizer: Any = self.optimizers()
        if not self.schedule.graph:
            self._descend(batch, optimizer)
        else:
            self._played(batch, optimizer.optimizer)
            optimizer._on_after_step()
        self.lr_schedulers().step()  # type: ignore[union-attr]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Note the loss, and how many targets it is the mean of."""
        known = float(torch.isfinite(batch.targets).sum())
        loss = self.loss(batch) * batch.targets.numel() / max(known, 1.0)
        self.log("valid", loss, batch_size=max(int(known), 1), on_epoch=True, sync_dist=True)

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of known targets over the number of all targets, known or not.

        The divisor does not depend on what is known, so that the mean over the shares of several processes is that of the whole.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.schedule.bf16, cache_enabled=not self.schedule.graph):
            outputs = self._answer(batch.inputs)
        known = torch.isfinite(batch.targets)
        losses = self.objective(outputs.float(), torch.where(known, batch.targets, 0.0))
        return torch.where(known, losses, 0.0).mean()

    def _descend(self, batch: Batch, optimizer: Any) -> None:
        self._flat.gradient.zero_()
        self.manual_backward(self.loss(batch))
        nn.utils.clip_grad_norm_([self._flat.values], self.schedule.clip)
        optimizer.step()

    def _played(self, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
        """Play the recorded step, or record it when it has been taken a few times; batches of another shape are stepped plainly."""
        if self._recorded is None:
            self._recorded = _Recorded(Batch(batch.inputs.clone(), batch.targets.clone()))
        held = self._recorded
        if held.batch.inputs.shape != batch.inputs.shape:
            self._descend(batch, optimizer)
        elif held.plain < PLAIN_STEPS:
            held.plain += 1
            with held.aside():
                self._descend(batch, optimizer)
        else:
            held.play(batch, lambda: self._descend(held.batch, optimizer))


@dataclass
class _Recorded:
    """A step as a CUDA graph over buffers that each batch is copied into."""

    batch: Batch
    plain: int = 0
    stream: torch.cuda.Stream = field(default_factory=torch.cuda.Stream)
    graph: torch.cuda.CUDAGraph | None = None

    def aside(self) -> Any:
        """Return a context on the stream that the graph will be recorded on, ordered with the current one."""
        self.stream.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(self.stream)

    def play(self, batch: Batch, step: Callable[[], None]) -> None:
        torch.cuda.current_stream().wait_stream(self.stream)
        self.batch.inputs.copy_(batch.inputs)
        self.batch.targets.copy_(batch.targets)
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                step()
        self.graph.replay()


class Flat:
    """The parameters of a network as views of one vector, their gradients as views of another."""

    def __init__(self, network: nn.Module) -> None:
        self._parameters = list(network.parameters())
        self.values = nn.Parameter(torch.cat([each.detach().reshape(-1) for each in self._parameters]))
        self.gradient = torch.zeros_like(self.values.data)
        for each, view in zip(self._parameters, self._views(self.values.data), strict=True):
            each.data = view
        self.tie()

    def tie(self) -> None:
        """Make the gradients views of the vector's."""
        self.values.grad = self.gradient
        for each, view in zip(self._parameters, self._views(self.gradient), strict=True):
            each.grad = view

    def _views(self, vector: Tensor) -> list[Tensor]:
        pieces = torch.split(vector, [each.numel() for each in self._parameters])
        return [piece.view(each.shape) for piece, each in zip(pieces, self._parameters, strict=True)]
