"""A step, taken at every moment of a sequence: a loop in torch, and ONNX's operator `Scan` in a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

DOMAIN = "kinema"
"""Where the operator comes from that stands for a `Scan` until the body of that is known; see `model.onnx.graph`."""


class Step(nn.Module):
    """One step: `step(*moment, *state)` returns the state after it and what it emits, in a row.

    All are [B, ...]; the parts of the state are [B, size].

    Attributes:
        emits: the shape of each tensor that it emits, without the batch.
    """

    def __init__(self, *emits: tuple[int, ...]) -> None:
        super().__init__()
        self.emits = emits


class Recurrence(nn.Module):
    """Takes a step at every moment of a sequence, and none beyond its length.

    Attributes:
        step: the step.
        states: how many parts its state has.
    """

    def __init__(self, step: Step, states: int) -> None:
        super().__init__()
        self.step = step
        self.states = states

    def forward(
        self, scanned: Sequence[Tensor], lengths: Tensor, state: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Reads a batch of sequences.

        Args:
            scanned: what each step is given, [B, T, ...] each.
            lengths: int64 [B], from 1 to T.
            state: before the first step.

        Returns:
            What each step emits, [B, T, ...] each, and the state after each row's last step.
        """
        steps = scanned[0].shape[1]
        live = (torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)).unsqueeze(2)
        if torch.onnx.is_in_onnx_export():
            found = _OnnxScan.apply(self.step, self.states, *state, live, *scanned)  # type: ignore[no-untyped-call]
            return tuple(found[self.states :]), tuple(found[: self.states])
        emitted: list[Sequence[Tensor]] = []
        # Unbound at once: the gradient of each moment, picked by itself, would be as large as that of the sequence.
        for now, *moment in zip(live.unbind(1), *(values.unbind(1) for values in scanned), strict=True):
            after, given = self.take(now, moment, state)
            state = after
            emitted.append(given)
        return tuple(torch.stack(values, 1) for values in zip(*emitted, strict=True)), tuple(state)

    def take(
        self, live: Tensor, moment: Sequence[Tensor], state: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Takes one step.

        Args:
            live: bool [B, 1]; a row that is over keeps its state.
            moment: what the step is given, [B, ...] each.
            state: before it.

        Returns:
            The state after it, and what it emits.
        """
        found = self.step(*moment, *state)
        after = [torch.where(live, new, old) for new, old in zip(found[: self.states], state, strict=True)]
        return after, found[self.states :]


class _OnnxScan(torch.autograd.Function):
    """Holds the place of a `Scan`: the exporter cannot write one, since it cannot write a graph within a graph."""

    @staticmethod
    def forward(_: Any, step: Step, states: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Values of the right shapes: the exporter follows shapes, and the graph computes the numbers."""
        sides = tensors[states].shape[:2]
        emitted = (tensors[0].new_zeros(*sides, *shape) for shape in step.emits)
        return (*(value.clone() for value in tensors[:states]), *emitted)

    @staticmethod
    def symbolic(g: Any, step: Step, states: int, *tensors: Any) -> Any:
        """Writes the place holder, which has the inputs and outputs of the `Scan`."""
        return g.op(f"{DOMAIN}::Scan", *tensors, outputs=states + len(step.emits))
