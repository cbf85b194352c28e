"""How far back a loss is felt: its derivatives by what a recurrent network says and remembers at each step.

The measure of vanishing and exploding gradients (Bengio, Simard & Frasconi, 1994; Pascanu, Mikolov & Bengio, 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.net.cell import Cell

Loss = Callable[[Tensor], Tensor]
"""From h at every step, float32 [B, T, hidden], to the loss of each row, [B], or to their sum."""


@dataclass(frozen=True)
class GradientFlow:
    """How strongly a loss depends on each step, float32 [T] each, the mean over the rows of a batch.

    Attributes:
        hidden: the norm of ∂loss/∂h_t.
        cell: the norm of ∂loss/∂C_t.
    """

    hidden: Tensor
    cell: Tensor


def gradient_flow(cell: Cell, input: Tensor, state: tuple[Tensor, Tensor], loss: Loss) -> GradientFlow:
    """Goes through sequences and back again.

    The derivatives are the whole ones: by h_t itself and through all later steps, and by C_t through h_t as well.
    `model.net.reference.LSTM.hidden_gradients` is the same for the article's cell in numpy alone.

    Args:
        cell: the network; its parameters and their gradients stay as they are.
        input: float32 [B, T, inputs], sequences of one length.
        state: h and C before them, float32 [B, hidden] each; `cell.start(B)` is the usual one.
        loss: for example `lambda h: h[:, -1].square().sum(1)`, which looks at the last step alone.

    Returns:
        Norms; 0 where the loss does not depend on a step.
    """
    with torch.enable_grad():
        moments = cell.moments(input, state)
        hidden = [moment.hidden for moment in moments]
        remembered = [moment.cell for moment in moments]
        total = loss(torch.stack(hidden, 1)).sum()
        found = torch.autograd.grad(total, hidden + remembered, materialize_grads=True)
    norms = torch.stack([gradient.norm(dim=1).mean() for gradient in found])
    return GradientFlow(*norms.chunk(2))
