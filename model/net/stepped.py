"""A cell that torch has no call for: its steps are taken one by one."""

from __future__ import annotations

from torch import Tensor, nn

from model.net.cell import Cell, Moment
from model.net.recurrence import Recurrence, Step


class CellStep(Step):
    """The part of a cell that has to wait for the step before."""

    def __init__(self, hidden: int) -> None:
        super().__init__((hidden,))

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        """See `Cell.moment`."""
        raise NotImplementedError

    def forward(self, projected: Tensor, h: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As a recurrence takes it: the state after the step, and h again, which is what the step emits."""
        moment = self.moment(projected, h, cell)
        return moment.hidden, moment.cell, moment.hidden


class Stepped(Cell):
    """A cell made of what can be computed for all steps at once, `of_input`, and of what cannot, the step."""

    def __init__(self, inputs: int, hidden: int, of_input: nn.Module, step: CellStep) -> None:
        super().__init__(inputs, hidden)
        self.of_input = of_input
        self.recurrence = Recurrence(step, states=2)

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        (outputs,), (h, cell) = self.recurrence([self.project(input)], lengths, state)
        return outputs, h, cell

    def project(self, input: Tensor) -> Tensor:
        return self.of_input(input)  # type: ignore[no-any-return]

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        return self.recurrence.step.moment(projected, h, cell)  # type: ignore[no-any-return, operator]
