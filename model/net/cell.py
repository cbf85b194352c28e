"""A cell: what all kinds of LSTM share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

GATES = 4
"""Input, forget, candidate, output: everywhere in this order, which is torch's."""


class Moment(NamedTuple):
    """All that happens inside an LSTM in one step, float32 [B, hidden] each.

    Attributes:
        input_gate, forget_gate, output_gate: from 0, closed, to 1, open.
        candidate: what the step would like to write, from -1 to 1.
        cell: what is remembered after the step, C.
        hidden: what is said after the step, h.
    """

    input_gate: Tensor
    forget_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    cell: Tensor
    hidden: Tensor


class Cell(nn.Module):
    """One kind of LSTM: a sequence to what is remembered at each of its steps.

    Attributes:
        inputs, hidden: the lengths of what goes in and of what is remembered.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = hidden

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Reads a batch of sequences.

        Args:
            input: float32 [B, T, inputs].
            lengths: int64 [B], from 1 to T.
            state: h and C, float32 [B, hidden] each.

        Returns:
            h at each step, float32 [B, T, hidden], arbitrary beyond the lengths; h and C after each last step.
        """
        raise NotImplementedError

    def project(self, input: Tensor) -> Tensor:
        """What the input alone says to all gates, which needs no waiting for the step before: [..., 4 hidden]."""
        raise NotImplementedError

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        """One step.

        Args:
            projected: what `project` made of its input, float32 [B, 4 hidden].
            h: what was said at the step before, float32 [B, hidden].
            cell: what is remembered from it, float32 [B, hidden].
        """
        raise NotImplementedError

    def moments(self, input: Tensor, state: tuple[Tensor, Tensor]) -> list[Moment]:
        """Every step of sequences of one length, float32 [B, T, inputs], to look inside."""
        found: list[Moment] = []
        h, cell = state
        for projected in self.project(input).unbind(1):
            found.append(self.moment(projected, h, cell))
            h, cell = found[-1].hidden, found[-1].cell
        return found

    def start(self, batch: int) -> tuple[Tensor, Tensor]:
        """The state before the first step: zeros."""
        return torch.zeros(batch, self.hidden), torch.zeros(batch, self.hidden)


def initialise(of_input: Tensor, of_state: Tensor) -> None:
    """Fills the weights of all gates, [4 hidden, inputs] and [4 hidden, hidden], in place.

    The recurrent weights of each gate start orthogonal (Saxe, McClelland & Ganguli, 2014), those of the input after
    Glorot & Bengio (2010): what passes through them is neither blown up nor lost.
    """
    with torch.no_grad():
        for gate in of_state.chunk(GATES):
            nn.init.orthogonal_(gate)
        for gate in of_input.chunk(GATES):
            nn.init.xavier_uniform_(gate)


def open_forget_gate(bias: Tensor) -> None:
    """Sets the biases of all gates, [4 hidden], to 0 and that of the forget gate to 1, in place.

    Early steps are then heard at the end from the first epoch (Gers, Schmidhuber & Cummins, 2000).
    """
    with torch.no_grad():
        bias.zero_()
        bias.chunk(GATES)[1].fill_(1)
