"""The adding problem: what a recurrent network can still do with a number that it saw long ago."""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from model.net.article import Article
from model.net.cell import GATES, Cell
from model.net.elman import Elman
from model.net.layernorm import LayerNormLstm
from model.net.lstm import Lstm
from model.net.peephole import Peephole

CellName = Literal["rnn", "lstm", "peephole", "article", "layernorm", "chrono"]

CHANNELS = 2
"""A number and its mark."""

BASELINE = 1 / 6
"""The mean squared error of always answering 1: the variance of the sum of two numbers."""

_CELLS: dict[CellName, type[Cell]] = {
    "rnn": Elman,
    "lstm": Lstm,
    "peephole": Peephole,
    "article": Article,
    "layernorm": LayerNormLstm,
    "chrono": Lstm,
}


@dataclass(frozen=True)
class Problems:
    """Adding problems with their answers.

    Hochreiter & Schmidhuber's (1997, experiment 4), as posed since Le, Jaitly & Hinton (2015): of many numbers two are
    marked, one in each half, and their sum is asked for after the last one.

    Attributes:
        input: float32 [B, T, 2]: numbers from 0 to 1, and their marks, 1 at two steps and 0 elsewhere.
        answer: float32 [B], the sum of the two.
    """

    input: Tensor
    answer: Tensor

    @classmethod
    def draw(cls, batch: int, steps: int, generator: torch.Generator) -> Problems:
        """Draws problems of at least 2 steps."""
        numbers, marks = torch.rand(batch, steps, generator=generator), torch.zeros(batch, steps)
        for start, end in ((0, steps // 2), (steps // 2, steps)):
            marks.scatter_(1, torch.randint(start, end, (batch, 1), generator=generator), 1.0)
        return cls(torch.stack((numbers, marks), 2), (numbers * marks).sum(1))


class Adder(nn.Module):
    """A cell and a linear layer that reads the answer from what it says last.

    Attributes:
        cell: the cell.
        read: from h to the answer.
    """

    def __init__(self, name: CellName, hidden: int, steps: int) -> None:
        super().__init__()
        self.cell = _CELLS[name](CHANNELS, hidden)
        if name == "chrono":
            remember_for(self.cell, steps)
        self.read = nn.Linear(hidden, 1)

    def forward(self, input: Tensor) -> Tensor:
        """The answers to problems of one length, [B, T, 2] → [B]."""
        batch, steps, _ = input.shape
        _, h, _ = self.cell(input, torch.full((batch,), steps), self.cell.start(batch))
        return self.answer(h)

    def answer(self, h: Tensor) -> Tensor:
        """[..., hidden] → [...]."""
        return self.read(h).squeeze(-1)  # type: ignore[no-any-return]


def remember_for(cell: Cell, steps: int) -> None:
    """Opens the forget gates of an LSTM of torch's so far that its numbers last from 1 to `steps` steps, in place.

    A gate that stays at f keeps a number for about 1 / (1 - f) steps: b_f = log(u) with u drawn evenly from 1 to
    steps - 1, and b_i = -b_f (Tallec & Ollivier, *Can recurrent neural networks warp time?*, ICLR 2018).
    """
    assert isinstance(cell, Lstm)
    bias = cell.cell.bias_ih_l0
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        of_input, of_forget, *_ = bias.chunk(GATES)
        of_forget.uniform_(1, max(2, steps - 1)).log_()
        of_input.copy_(-of_forget)


class Task(BaseModel):
    """One training, all that decides what comes of it.

    Attributes:
        cell: which.
        steps: the length of each problem.
        iterations: the most steps of the optimiser.
        hidden: what the cell remembers, in numbers.
        batch: problems in each.
        rate: Adam's learning rate (Kingma & Ba, 2015).
        clip: the norm that gradients are clipped to (Pascanu, Mikolov & Bengio, 2013).
        every: iterations from one test to the next.
        solved: the mean squared error of two tests in a row below which training stops.
        seed: of weights and problems.
    """

    model_config = ConfigDict(frozen=True)

    cell: CellName
    steps: int
    iterations: int
    hidden: int = 64
    batch: int = 32
    rate: float = 1e-2
    clip: float = 5.0
    every: int = 50
    solved: float = 0.01
    seed: int = 0


class Tested(BaseModel):
    """What a network was worth after some iterations.

    Attributes:
        iteration: counted from 1.
        error: the mean squared error on problems that it has not seen.
        gradient: the largest norm of the gradient, before it is clipped, since the test before.
    """

    # What has become of a network can be not a number.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    iteration: int
    error: float
    gradient: float


class Learnt(BaseModel):
    """What came of a training.

    Attributes:
        task: the training.
        tests: in order.
        cpu_s: computing time in seconds.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    task: Task
    tests: tuple[Tested, ...]
    cpu_s: float

    @property
    def solved(self) -> bool:
        """Whether the last two tests were passed."""
        return passed(self.task, self.tests)


def passed(task: Task, tests: tuple[Tested, ...]) -> bool:
    """Whether two tests in a row are below the bound."""
    return len(tests) > 1 and all(test.error < task.solved for test in tests[-2:])


_PROBLEMS = 256
"""Problems in a test."""


def start(task: Task) -> Adder:
    """The network as training finds it."""
    torch.manual_seed(task.seed)
    return Adder(task.cell, task.hidden, task.steps)


def learn(task: Task) -> tuple[Adder, Learnt]:
    """Trains a network on ever new problems until it has solved them, or to the last iteration."""
    adder, began = start(task), process_time()
    optimiser = torch.optim.Adam(adder.parameters(), lr=task.rate)
    # All cells are given the same problems in the same order, and tests do not disturb it.
    drawn, tested = (torch.Generator().manual_seed(seed) for seed in (2 * task.seed, 2 * task.seed + 1))
    tests: tuple[Tested, ...] = ()
    norms: list[float] = []
    for iteration in range(1, task.iterations + 1):
        norms.append(_step(adder, optimiser, Problems.draw(task.batch, task.steps, drawn), task.clip))
        if iteration % task.every == 0 or iteration == task.iterations:
            error = _error(adder, Problems.draw(_PROBLEMS, task.steps, tested))
            tests = (*tests, Tested(iteration=iteration, error=error, gradient=float(np.max(norms))))
            norms = []
        if passed(task, tests):
            break
    return adder, Learnt(task=task, tests=tests, cpu_s=process_time() - began)


def _step(adder: Adder, optimiser: torch.optim.Optimizer, problems: Problems, clip: float) -> float:
    """Improves a network a little; the norm of the gradient before it is clipped."""
    loss = F.mse_loss(adder(problems.input), problems.answer)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(adder.parameters(), clip)
    optimiser.step()
    return norm.item()


def _error(adder: Adder, problems: Problems) -> float:
    with torch.no_grad():
        return F.mse_loss(adder(problems.input), problems.answer).item()
