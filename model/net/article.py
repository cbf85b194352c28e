"""The LSTM of the source article, whose gates and candidate all see all that is remembered.

`model.net.reference` is the same in numpy alone, with its gradients.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.net.cell import GATES, Moment, initialise, open_forget_gate
from model.net.lstm import advance
from model.net.stepped import CellStep, Stepped


class ArticleStep(CellStep):
    """Peepholes are full matrices, and the output gate, too, sees C_{t-1}.

    i, f, o = σ(W x_t + U h_{t-1} + V C_{t-1} + b)     g = tanh(W_g x_t + U_g h_{t-1} + V_g C_{t-1} + b_g)
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.of_state = nn.Linear(hidden, GATES * hidden, bias=False)
        self.of_cell = nn.Linear(hidden, GATES * hidden, bias=False)

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        i, f, g, o = (projected + self.of_state(h) + self.of_cell(cell)).chunk(GATES, -1)
        return advance(i, f, g, o, cell)


class Article(Stepped):
    """The article's LSTM."""

    def __init__(self, inputs: int, hidden: int) -> None:
        of_input, step = nn.Linear(inputs, GATES * hidden), ArticleStep(hidden)
        super().__init__(inputs, hidden, of_input, step)
        initialise(of_input.weight, step.of_state.weight)
        open_forget_gate(of_input.bias)
        # C is not bounded as h is: seen at full strength it would drive every gate to its end.
        nn.init.zeros_(step.of_cell.weight)
