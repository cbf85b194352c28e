"""The article's LSTM in numpy: it computes its equations, its gradients are true, and nothing overflows."""

import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from model.net.reference import LSTM, Array, sigmoid, tanh
from tests.samples import ROOT

INPUT, HIDDEN, OUTPUT = 3, 4, 2
STEPS, BATCH = 5, 3
NAMES = {f"{kind}{gate}" for kind in ("W_x", "W_h", "W_c", "b_") for gate in "ifog"} | {"W_yo", "b_y"}


def draw(*shape: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def make(dtype: type[np.floating] = np.float64, seed: int = 0) -> LSTM:
    """A network whose biases are not zero either, so that a bias that is left out is seen."""
    lstm = LSTM(INPUT, HIDDEN, OUTPUT, seed=seed, dtype=dtype)
    for letter in "ifogy":
        lstm.weights[f"b_{letter}"] += draw(*lstm.weights[f"b_{letter}"].shape, seed=ord(letter))
    return lstm


def numerical(loss: Callable[[], float], values: Array, step: float = 1e-4) -> NDArray[np.float64]:
    """The derivative of a loss by each of `values`, which are changed in place and changed back.

    Differences over one and over two steps, combined so that what is left is of the fourth order in the step.
    """
    slopes = np.zeros(values.shape)
    for place in np.ndindex(values.shape):
        there = values[place]
        losses = {}
        for steps in (-2, -1, 1, 2):
            values[place] = there + steps * step
            losses[steps] = loss()
        values[place] = there
        slopes[place] = (8 * (losses[1] - losses[-1]) - (losses[2] - losses[-2])) / (12 * step)
    return slopes


def by_hand(w: dict[str, Array], X: Array) -> tuple[Array, Array, Array]:
    """The article's equations, number by number: y, and h and C after each step, of one sequence [T, input]."""
    hidden = len(w["b_i"])
    h, C = [0.0] * hidden, [0.0] * hidden
    said, remembered, outputs = [], [], []
    for x in X:
        total = {
            gate: [
                sum(x[n] * w[f"W_x{gate}"][n, j] for n in range(len(x)))
                + sum(h[n] * w[f"W_h{gate}"][n, j] for n in range(hidden))
                + sum(C[n] * w[f"W_c{gate}"][n, j] for n in range(hidden))
                + w[f"b_{gate}"][j]
                for j in range(hidden)
            ]
            for gate in "ifog"
        }
        i, f, o = ([1 / (1 + math.exp(-z)) for z in total[gate]] for gate in "ifo")
        g = [math.tanh(z) for z in total["g"]]
        C = [f[j] * C[j] + i[j] * g[j] for j in range(hidden)]
        h = [o[j] * math.tanh(C[j]) for j in range(hidden)]
        said.append(h)
        remembered.append(C)
        outputs.append([sum(h[n] * w["W_yo"][n, j] for n in range(hidden)) + w["b_y"][j] for j in range(len(w["b_y"]))])
    return np.array(outputs), np.array(said), np.array(remembered)


def test_weights_have_the_articles_names_and_shapes() -> None:
    shapes = {name: weight.shape for name, weight in LSTM(INPUT, HIDDEN, OUTPUT).weights.items()}
    assert set(shapes) == NAMES
    for gate in "ifog":
        assert shapes[f"W_x{gate}"] == (INPUT, HIDDEN)
        assert shapes[f"W_h{gate}"] == shapes[f"W_c{gate}"] == (HIDDEN, HIDDEN)
        assert shapes[f"b_{gate}"] == (HIDDEN,)
    assert shapes["W_yo"] == (HIDDEN, OUTPUT)
    assert shapes["b_y"] == (OUTPUT,)


def test_how_weights_start() -> None:
    lstm = LSTM(INPUT, HIDDEN, OUTPUT)
    for gate in "ifog":
        for name in (f"W_h{gate}", f"W_c{gate}"):
            np.testing.assert_allclose(lstm.weights[name] @ lstm.weights[name].T, np.eye(HIDDEN), atol=1e-12)
        assert (lstm.weights[f"b_{gate}"] == (1 if gate == "f" else 0)).all()
        assert 0 < np.abs(lstm.weights[f"W_x{gate}"]).max() <= np.sqrt(6 / (INPUT + HIDDEN))
    assert len({weight.tobytes() for weight in lstm.weights.values() if weight.ndim == 2}) == 13


def test_a_seed_gives_the_same_weights_in_either_precision() -> None:
    one, same, other = make(seed=1), make(seed=1, dtype=np.float32), make(seed=2)
    for name, weight in one.weights.items():
        np.testing.assert_allclose(same.weights[name], weight, rtol=1e-6)
    assert (one.weights["W_xi"] != other.weights["W_xi"]).all()


def test_every_step_is_the_articles_equations() -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    expected = [by_hand(lstm.weights, X[:, row]) for row in range(BATCH)]
    for t in range(STEPS):
        y = lstm.step(X[t])
        for row, (outputs, said, remembered) in enumerate(expected):
            np.testing.assert_allclose(y[row], outputs[t], rtol=0, atol=1e-14)
            np.testing.assert_allclose(lstm.h[row], said[t], rtol=0, atol=1e-14)
            np.testing.assert_allclose(lstm.C[row], remembered[t], rtol=0, atol=1e-14)


def test_forward_is_step_after_step() -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    steps = np.stack([lstm.step(x) for x in X])
    h, C = lstm.h, lstm.C
    lstm.reset_states()
    np.testing.assert_array_equal(lstm.forward(X), steps)
    np.testing.assert_array_equal(lstm.h, h)
    np.testing.assert_array_equal(lstm.C, C)


@pytest.mark.parametrize("cuts", [(2,), (1, 4), (1, 2, 3, 4)])
def test_a_sequence_in_chunks_is_the_whole_sequence(cuts: tuple[int, ...]) -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    whole = lstm.forward(X)
    h, C = lstm.h, lstm.C
    lstm.reset_states()
    chunks = [lstm.forward(chunk) for chunk in np.split(X, cuts)]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    np.testing.assert_array_equal(lstm.h, h)
    np.testing.assert_array_equal(lstm.C, C)


def test_a_single_input_is_a_batch_of_one() -> None:
    lstm, X = make(), draw(STEPS, 1, INPUT)
    expected = lstm.forward(X)[:, 0]
    lstm.reset_states()
    found = np.stack([lstm.step(x[0].tolist()) for x in X])
    assert found.shape == (STEPS, OUTPUT)
    np.testing.assert_array_equal(found, expected)
    assert lstm.h.shape == lstm.C.shape == (1, HIDDEN)


def test_sequences_of_a_batch_do_not_meet() -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    together = lstm.forward(X)
    for row in range(BATCH):
        lstm.reset_states()
        np.testing.assert_allclose(lstm.forward(X[:, [row]])[:, 0], together[:, row], rtol=0, atol=1e-14)


def test_reset_states_forgets() -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    first, again = lstm.forward(X), lstm.forward(X)
    assert np.abs(again - first).max() > 0.01
    lstm.reset_states()
    assert lstm.h.shape == lstm.C.shape == (1, HIDDEN)
    assert not lstm.h.any()
    assert not lstm.C.any()
    np.testing.assert_array_equal(lstm.forward(X), first)
    lstm.reset_states()
    assert lstm.step(draw(7, INPUT)).shape == (7, OUTPUT)


def test_a_state_can_be_given() -> None:
    lstm, X = make(), draw(STEPS, BATCH, INPUT)
    whole = lstm.forward(X)
    lstm.reset_states()
    lstm.forward(X[:2])
    other = make()
    other.h, other.C = lstm.h, lstm.C
    np.testing.assert_array_equal(other.forward(X[2:]), whole[2:])


@pytest.mark.parametrize("carried", [False, True], ids=["from zeros", "from a state"])
def test_every_gradient_is_that_of_finite_differences(carried: bool) -> None:
    lstm, X, weigh = make(), draw(STEPS, BATCH, INPUT), draw(STEPS, BATCH, OUTPUT, seed=2)
    state = draw(2, BATCH, HIDDEN, seed=3) if carried else np.zeros((2, BATCH, HIDDEN))

    def loss() -> float:
        lstm.h, lstm.C = state
        return float((weigh * lstm.forward(X) ** 2).sum())

    loss()
    lstm.h, lstm.C = state
    gradients = lstm.backward(2 * weigh * lstm.forward(X))
    assert set(gradients) == NAMES
    for name, weight in lstm.weights.items():
        assert gradients[name].shape == weight.shape
        assert np.abs(gradients[name]).min() > 1e-4, "too small to be checked"
        np.testing.assert_allclose(gradients[name], numerical(loss, weight), rtol=1e-6, err_msg=name)


def test_the_loss_by_h_is_that_of_finite_differences() -> None:
    lstm, X, weigh = make(), draw(STEPS, BATCH, INPUT), draw(STEPS, BATCH, OUTPUT, seed=2)
    lstm.forward(X)
    found = lstm.hidden_gradients(weigh)
    assert found.shape == (STEPS, BATCH, HIDDEN)

    def loss(t: int, h: Array, C: Array) -> float:
        """What h_t has a part in: y_t, and all later steps."""
        lstm.h, lstm.C = h, C
        here = weigh[t] * (h @ lstm.weights["W_yo"])
        return float(here.sum() + (weigh[t + 1 :] * lstm.forward(X[t + 1 :])).sum())

    for t in range(STEPS - 1):
        lstm.reset_states()
        lstm.forward(X[: t + 1])
        h, C = lstm.h, lstm.C
        np.testing.assert_allclose(found[t], numerical(partial(loss, t, h, C), h), rtol=1e-6)
    np.testing.assert_allclose(found[-1], weigh[-1] @ lstm.weights["W_yo"].T)


def test_what_comes_after_a_forward_leaves_its_gradients_alone() -> None:
    lstm, X, dy = make(), draw(STEPS, BATCH, INPUT), draw(STEPS, BATCH, OUTPUT)
    lstm.h, lstm.C = h, C = draw(2, BATCH, HIDDEN)
    lstm.forward(X)
    expected = lstm.backward(dy)
    for given in (X, h, C, lstm.h, lstm.C):
        given.fill(1)
    lstm.step(X[0])
    lstm.reset_states()
    for name, gradient in lstm.backward(dy).items():
        np.testing.assert_array_equal(gradient, expected[name])


def test_backward_in_chunks_is_cut_where_the_chunks_are() -> None:
    lstm, X, dy = make(), draw(STEPS, BATCH, INPUT), draw(STEPS, BATCH, OUTPUT)
    lstm.forward(X[:3])
    lstm.forward(X[3:])
    cut = lstm.backward(dy[3:])
    lstm.reset_states()
    lstm.forward(X)
    whole = lstm.backward(np.concatenate([np.zeros_like(dy[:3]), dy[3:]]))
    np.testing.assert_allclose(cut["W_yo"], whole["W_yo"])
    assert np.abs(cut["W_xi"] - whole["W_xi"]).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_nothing_overflows(dtype: type[np.floating], size: float) -> None:
    z = np.array([size], dtype)
    with np.errstate(all="raise"):
        assert sigmoid(z) == (size > 0)
        assert tanh(z) == np.sign(size)
        lstm = make(dtype)
        y = lstm.forward(np.full((STEPS, BATCH, INPUT), size))
        gradients = lstm.backward(np.ones_like(y))
    for values in (y, lstm.h, lstm.C, *gradients.values()):
        assert np.isfinite(values).all()


def test_sigmoid_is_the_logistic_function() -> None:
    z = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(sigmoid(z), 1 / (1 + np.exp(-z)), rtol=0, atol=1e-15)


def test_float32_stays_float32_and_agrees_with_float64() -> None:
    X, dy = draw(STEPS, BATCH, INPUT), draw(STEPS, BATCH, OUTPUT)
    single, double = make(np.float32), make()
    y, expected = single.forward(X), double.forward(X)
    gradients, exact = single.backward(dy), double.backward(dy)
    for values in (y, single.h, single.C, single.hidden_gradients(dy), *single.weights.values(), *gradients.values()):
        assert values.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, exact[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (INPUT + 1,), (BATCH, INPUT + 1), (STEPS, BATCH, INPUT)])
def test_a_step_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    lstm = make()
    with pytest.raises(ValueError, match=r"shape \[.*\], not \[3\] or \[B, 3\]") as error:
        lstm.step(np.zeros(shape))
    assert str(list(shape)) in str(error.value)
    assert lstm.h.shape == (1, HIDDEN)


@pytest.mark.parametrize("shape", [(INPUT,), (BATCH, INPUT), (STEPS, BATCH, INPUT + 1), (0, BATCH, INPUT)])
def test_a_sequence_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \[.*\], not \[T, B, 3\]") as error:
        make().forward(np.zeros(shape))
    assert str(list(shape)) in str(error.value)


@pytest.mark.parametrize("first", [1, 2])
def test_the_state_of_another_batch_is_refused(first: int) -> None:
    lstm = LSTM(INPUT, HIDDEN, OUTPUT)
    lstm.step(np.zeros((first, INPUT)))
    refused = pytest.raises(ValueError, match=rf"\[{first}, 4\] and the input wants \[3, 4\].*reset_states")
    with refused:
        lstm.step(np.zeros((3, INPUT)))
    with refused:
        lstm.forward(np.zeros((STEPS, 3, INPUT)))
    lstm.reset_states()
    lstm.step(np.zeros((3, INPUT)))


def test_backward_wants_a_forward_and_its_shape() -> None:
    lstm = make()
    for back in (lstm.backward, lstm.hidden_gradients):
        with pytest.raises(RuntimeError, match="call forward first"):
            back(np.zeros((STEPS, BATCH, OUTPUT)))
    lstm.forward(np.zeros((STEPS, BATCH, INPUT)))
    for shape in ((STEPS - 1, BATCH, OUTPUT), (STEPS, 1, OUTPUT), (STEPS, BATCH, 1), (OUTPUT,)):
        with pytest.raises(ValueError, match=r"dy has shape \[.*\], not \[5, 3, 2\]"):
            lstm.backward(np.zeros(shape))


def test_weights_of_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="int64: choose float64 or float32"):
        LSTM(INPUT, HIDDEN, OUTPUT, dtype=np.int64)


def test_it_learns_what_came_first() -> None:
    """After ten steps, of which the last nine say nothing, the square of the first is wanted."""
    lstm = LSTM(1, 8, 1, seed=3)
    X = np.zeros((10, 4, 1))
    X[0, :, 0] = [-1.0, -0.5, 0.5, 1.0]
    losses = []
    for _ in range(100):
        lstm.reset_states()
        dy = np.zeros((10, 4, 1))
        dy[-1] = lstm.forward(X)[-1] - X[0] ** 2
        losses.append(float((dy**2).sum() / 2))
        for name, gradient in lstm.backward(dy).items():
            lstm.weights[name] -= 0.05 * gradient
    assert losses[0] > 1
    assert losses[-1] < 0.001


def test_it_needs_numpy_alone() -> None:
    program = (
        "import sys, numpy; before = set(sys.modules); import model.net.reference;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"model", "numpy"}
