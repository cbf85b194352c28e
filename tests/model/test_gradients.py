"""How far back a loss is felt: as the article's cell in numpy says, and as finite differences say."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.model.numpy_heads import article_network
from tests.require import need

if TORCH or TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.net.article import Article
    from model.net.cell import Cell
    from model.net.elman import Elman
    from model.net.layernorm import LayerNormLstm
    from model.net.lstm import Lstm
    from model.net.peephole import Peephole
    from model.study.gradients import gradient_flow

    CELLS: "dict[str, type[Cell]]" = {
        "lstm": Lstm,
        "peephole": Peephole,
        "article": Article,
        "layernorm": LayerNormLstm,
        "rnn": Elman,
    }

NAMES = ["lstm", "peephole", "article", "layernorm"]  # what is written to C is seen in the candidate alone
BATCH, STEPS, INPUTS, HIDDEN = 3, 6, 4, 5
TOLERANCE = 1e-6  # relative; float64, central differences of 1e-5


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def make(name: str) -> "Cell":
    """A cell in float64 whose weights are all drawn, those too that training starts at zero."""
    torch.manual_seed(3)
    cell = CELLS[name](INPUTS, HIDDEN).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return cell


def draw(*shape: int) -> "Tensor":
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def start() -> "tuple[Tensor, Tensor]":
    return draw(BATCH, HIDDEN), draw(BATCH, HIDDEN).flip(1)


def last_alone(hidden: "Tensor") -> "Tensor":
    return hidden[:, -1].square().sum(1)


def every_step(hidden: "Tensor") -> "Tensor":
    return hidden.pow(3).sum((1, 2))


def test_the_articles_cell_feels_its_loss_as_it_does_in_numpy() -> None:
    cell = make("article")
    reference = article_network({name: value.numpy() for name, value in cell.state_dict().items()})
    sequences = draw(BATCH, STEPS, INPUTS)
    reference.forward(sequences.transpose(0, 1).numpy())
    of_y = draw(STEPS, BATCH, 1)
    expected = np.linalg.norm(reference.hidden_gradients(of_y.numpy()), axis=2).mean(1)
    read_out = torch.from_numpy(reference.weights["W_yo"])
    found = gradient_flow(
        cell, sequences, cell_start(cell), lambda hidden: ((hidden @ read_out) * of_y.transpose(0, 1)).sum((1, 2))
    )
    np.testing.assert_allclose(found.hidden, expected, rtol=1e-10)


def cell_start(cell: "Cell") -> "tuple[Tensor, Tensor]":
    h, remembered = cell.start(BATCH)
    return h.double(), remembered.double()


@pytest.mark.parametrize("name", NAMES)
def test_norms_are_those_of_finite_differences(name: str) -> None:
    cell, sequences = make(name), draw(BATCH, STEPS, INPUTS)
    found = gradient_flow(cell, sequences, start(), every_step)
    with torch.no_grad():
        projected, moments = cell.project(sequences), cell.moments(sequences, start())
    states = [start(), *((moment.hidden, moment.cell) for moment in moments)]
    for time, moment in enumerate(moments):

        def of_said(h: "Tensor", after: int = time + 1, cell_after: "Tensor" = moment.cell) -> "Tensor":
            return rest(cell, projected[:, after:], (h, cell_after)) + h.pow(3).sum(1)

        def of_written(sums: "Tensor", at: int = time) -> "Tensor":
            changed = projected[:, at:].clone()
            changed[:, 0].chunk(4, 1)[2].copy_(sums)
            return rest(cell, changed, states[at])

        by_h = slopes(of_said, moment.hidden)
        # What is written goes into C_t and nowhere else: C_t = f ∘ C_{t-1} + i ∘ tanh(sums).
        writes = moment.input_gate * (1 - moment.candidate**2)
        by_cell = slopes(of_written, projected[:, time].chunk(4, 1)[2]) / writes
        assert float(found.hidden[time]) == pytest.approx(float(by_h.norm(dim=1).mean()), rel=TOLERANCE)
        assert float(found.cell[time]) == pytest.approx(float(by_cell.norm(dim=1).mean()), rel=TOLERANCE)


def rest(cell: "Cell", projected: "Tensor", state: "tuple[Tensor, Tensor]") -> "Tensor":
    """The part of `every_step`, a row, that steps have which come after a state."""
    h, remembered = state
    total = torch.zeros(len(h), dtype=torch.float64)
    for time in range(projected.shape[1]):
        moment = cell.moment(projected[:, time], h, remembered)
        h, remembered = moment.hidden, moment.cell
        total = total + h.pow(3).sum(1)
    return total


def slopes(function: "Callable[[Tensor], Tensor]", there: "Tensor", step: float = 1e-5) -> "Tensor":
    """The derivative of each row's number by each of the row's values, [B, values]."""
    with torch.no_grad():
        moves = step * torch.eye(there.shape[1], dtype=there.dtype)
        return torch.stack([(function(there + move) - function(there - move)) / (2 * step) for move in moves], 1)


def test_a_loss_of_the_last_step_alone_reaches_c_through_h() -> None:
    cell, sequences = make("lstm"), draw(BATCH, STEPS, INPUTS)
    found = gradient_flow(cell, sequences, start(), last_alone)
    with torch.no_grad():
        moment = cell.moments(sequences, start())[-1]
    by_h = 2 * moment.hidden
    by_cell = by_h * moment.output_gate * (1 - moment.cell.tanh() ** 2)
    assert float(found.hidden[-1]) == pytest.approx(float(by_h.norm(dim=1).mean()))
    assert float(found.cell[-1]) == pytest.approx(float(by_cell.norm(dim=1).mean()))


def test_what_a_loss_does_not_look_at_has_no_gradient() -> None:
    found = gradient_flow(make("lstm"), draw(BATCH, STEPS, INPUTS), start(), lambda hidden: hidden[:, 2].sum(1))
    assert (found.hidden[:3] > 0).all()
    assert not found.hidden[3:].any()
    assert not found.cell[3:].any()


def test_looking_leaves_the_cell_as_it_is_and_needs_no_asking() -> None:
    cell = make("layernorm")
    with torch.no_grad():
        flow = gradient_flow(cell, draw(BATCH, STEPS, INPUTS), start(), last_alone)
    assert flow.hidden.shape == flow.cell.shape == (STEPS,)
    assert all(parameter.grad is None for parameter in cell.parameters())


def test_a_plain_networks_memory_is_what_it_says() -> None:
    cell, sequences = make("rnn"), draw(BATCH, STEPS, INPUTS)
    found = gradient_flow(cell, sequences, start(), every_step)
    assert torch.equal(found.hidden, found.cell)
    with torch.no_grad():
        projected, moments = cell.project(sequences), cell.moments(sequences, start())
    for time, moment in enumerate(moments):

        def of_said(h: "Tensor", after: int = time + 1) -> "Tensor":
            return rest(cell, projected[:, after:], (h, h)) + h.pow(3).sum(1)

        by_h = slopes(of_said, moment.hidden)
        assert float(found.hidden[time]) == pytest.approx(float(by_h.norm(dim=1).mean()), rel=TOLERANCE)


def test_a_plain_network_computes_what_its_moments_show() -> None:
    cell, sequences = make("rnn"), draw(BATCH, STEPS, INPUTS)
    with torch.no_grad():
        told, h, remembered = cell(sequences, torch.tensor([STEPS, 2, 4]), start())
        moments = cell.moments(sequences, start())
    np.testing.assert_allclose(told[0], torch.stack([moment.hidden for moment in moments], 1)[0], rtol=1e-12)
    np.testing.assert_allclose(h[1], moments[1].hidden[1], rtol=1e-12)
    assert torch.equal(h, remembered)
