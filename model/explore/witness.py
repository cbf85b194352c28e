"""What happens inside a head while it reads: every gate, every memory, and how strongly the answer hangs on each step.

The head itself runs, with its own weights; hooks only take its recurrent networks step by step and write down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from model.net.cell import Cell, Moment
from model.net.classifier import Answer, Classifier
from model.net.convlstm import ConvLstmStep
from model.net.spatial import SpatialStep

Values = NDArray[np.float32]

READER = "reader"
"""The name of the expert that is recurrent; the others have that of the evidence that they read."""


@dataclass(frozen=True)
class Trace:
    """What happened inside one recurrent network, step by step in the order of the clip.

    Attributes:
        backwards: whether it read from the last step to the first.
        input_gate, forget_gate, output_gate: from 0, shut, to 1, open: float32 [T, units], or of a network that
            remembers a map [T, channels, rows, columns].
        candidate: what each step would like to write, from -1 to 1; alike.
        cell: what is remembered after each step, C; alike.
        hidden: what is said after each step, h; alike.
        gradient: the norm of ∂loss/∂h_t, float64 [T]; the loss is that of the head's own answer, -log softmax.
        later: the norm of that part of it which comes back through the steps read after, float64 [T].
    """

    backwards: bool
    input_gate: Values
    forget_gate: Values
    candidate: Values
    output_gate: Values
    cell: Values
    hidden: Values
    gradient: NDArray[np.float64]
    later: NDArray[np.float64]


@dataclass(frozen=True)
class Witnessed:
    """What a head says of one window, and what happened inside.

    Attributes:
        experts: the logits of each expert by name, float32 [T, C]; row t is the answer after t + 1 steps.
        outputs: the head's further outputs by name, without the batch.
        traces: of each of its recurrent networks; none where it has no reader.
    """

    experts: Mapping[str, Values]
    outputs: Mapping[str, Values]
    traces: tuple[Trace, ...]

    @property
    def logits(self) -> Values:
        """The experts' joint answer, float32 [T, C]."""
        return np.asarray(sum(self.experts.values()), dtype=np.float32)


def witness(head: Classifier, inputs: Mapping[str, Tensor]) -> Witnessed:
    """Lets a head read one window.

    Args:
        head: in evaluation mode; its parameters and their gradients stay as they are.
        inputs: by name, as `Classifier.forward` takes them, with a batch of 1.
    """
    steps = next(iter(inputs.values())).shape[1]
    with _watched(head) as seen:
        answer: Answer = head(inputs, torch.tensor([steps]), head.start(1))
    last = answer.logits[0, -1]
    loss = F.cross_entropy(last, last.argmax())
    names = [*head.config.features, *([READER] if head.reader is not None else [])]
    return Witnessed(
        {name: _numbers(logits[0]) for name, logits in zip(names, answer.experts, strict=True)},
        {name: _numbers(values[0]) for name, values in answer.outputs.items()},
        tuple(_trace(name, steps, loss) for name, steps in seen.items()),
    )


class _Seen(NamedTuple):
    """One step: all that happens in it; h as the next step gets it, and as what stands above the network does."""

    moment: Moment
    onwards: Tensor
    said: Tensor


@contextmanager
def _watched(head: Classifier) -> Iterator[dict[str, list[_Seen]]]:
    """What is seen of the recurrent networks of a head, by the names of their modules."""
    seen: dict[str, list[_Seen]] = {}
    hooks = []
    for name, module in head.named_modules():
        hook = _hook(module)
        if hook is not None:
            hooks.append(module.register_forward_hook(partial(hook, seen.setdefault(name, []))))
    try:
        yield seen
    finally:
        for one in hooks:
            one.remove()


def _hook(module: nn.Module) -> Any:
    if isinstance(module, Cell):
        return _see_cell
    return _see_step if isinstance(module, SpatialStep | ConvLstmStep) else None


def _see_cell(seen: list[_Seen], cell: Cell, given: tuple[Any, ...], _: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Takes the steps of a cell one by one; torch would take all of them in one call."""
    projected, (h, memory) = cell.project(given[0]), given[2]
    for time in range(projected.shape[1]):
        moment = cell.moment(projected[:, time], h, memory)
        seen.append(_Seen(moment, moment.hidden.clone(), moment.hidden.clone()))
        h, memory = seen[-1].onwards, moment.cell
    return torch.stack([one.said for one in seen], 1), h, memory


def _see_step(seen: list[_Seen], step: SpatialStep | ConvLstmStep, given: tuple[Tensor, ...], told: Any) -> Any:
    with torch.no_grad():
        found = step.moment(*given)
    moment = found if isinstance(found, Moment) else found[0]
    h, memory, said, *further = told
    seen.append(_Seen(moment, h.clone(), said.clone()))
    return (seen[-1].onwards, memory, seen[-1].said, *further)


def _trace(name: str, seen: list[_Seen], loss: Tensor) -> Trace:
    onwards, said = [one.onwards for one in seen], [one.said for one in seen]
    found = torch.autograd.grad(loss, onwards + said, retain_graph=True, materialize_grads=True)
    later, direct = found[: len(seen)], found[len(seen) :]
    # Of a map, what is said is the mean over positions.
    places = later[0].numel() // direct[0].numel()
    spread = [(one / places).repeat_interleave(places, 1) for one in direct]
    backwards = name.endswith("backwards")
    order = slice(None, None, -1 if backwards else 1)
    moments = {part: _numbers(torch.cat(values))[order] for part, values in _parts(seen).items()}
    return Trace(
        backwards=backwards,
        **moments,
        gradient=_norms([back + own for back, own in zip(later, spread, strict=True)])[order],
        later=_norms(later)[order],
    )


def _parts(seen: list[_Seen]) -> dict[str, tuple[Tensor, ...]]:
    return dict(zip(Moment._fields, zip(*(one.moment for one in seen), strict=True), strict=True))


def _norms(gradients: Any) -> NDArray[np.float64]:
    return np.array([float(one.double().norm()) for one in gradients])


def _numbers(values: Tensor) -> Values:
    return cast("Values", values.detach().numpy())
