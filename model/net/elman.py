"""The plain recurrent network (Elman, *Finding structure in time*, 1990), which LSTMs were made to improve on.

No head is made of it: it is here to be compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.net.cell import Cell, Moment


class Elman(Cell):
    """All that it remembers goes through a matrix and a tanh at every step; as torch computes it, in one call.

    h_t = tanh(W x_t + U h_{t-1} + b)

    As a cell it has a memory that is overwritten at every step and said as it is: C_t = h_t. The recurrent weights
    start orthogonal and those of the input after Glorot & Bengio (2010), as in all other cells.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.cell = nn.RNN(inputs, hidden, batch_first=True)
        of_input, of_state, bias, other = self.cell.all_weights[0]
        nn.init.xavier_uniform_(of_input)
        nn.init.orthogonal_(of_state)
        nn.init.zeros_(bias)
        nn.init.zeros_(other)

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        packed = pack_padded_sequence(input, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, h = self.cell(packed, state[0].unsqueeze(0))
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=input.shape[1])
        return padded, h[0], h[0]

    def project(self, input: Tensor) -> Tensor:
        """What the input alone says: [..., hidden]."""
        of_input, _, bias, other = self.cell.all_weights[0]
        return F.linear(input, of_input, bias + other)

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        """One step, as an LSTM would put it whose gates cannot move."""
        _, of_state, *_ = self.cell.all_weights[0]
        after = (projected + F.linear(h, of_state)).tanh()
        opened, closed = torch.ones_like(after), torch.zeros_like(after)
        return Moment(opened, closed, after, opened, after, after)
