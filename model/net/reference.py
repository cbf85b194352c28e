"""The source article's LSTM in numpy alone: what the networks in torch and ONNX are measured against.

Three gates, each between 0 and 1, and a candidate between -1 and 1 all see the same three things: the input, what was
last said (h) and what is remembered (C):

    i_t = σ(X_t W_xi + h_{t-1} W_hi + C_{t-1} W_ci + b_i)        how much of the candidate to write
    f_t = σ(X_t W_xf + h_{t-1} W_hf + C_{t-1} W_cf + b_f)        how much of the memory to keep
    o_t = σ(X_t W_xo + h_{t-1} W_ho + C_{t-1} W_co + b_o)        how much of the memory to say
    g_t = tanh(X_t W_xg + h_{t-1} W_hg + C_{t-1} W_cg + b_g)     the candidate: what there is to write
    C_t = f_t ∘ C_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(C_t)
    y_t = h_t W_yo + b_y

∘ multiplies number by number. The article writes W X for columns; here sequences of a batch are rows, so a row is
multiplied by a matrix. Two things set it apart from the peepholes of Gers & Schmidhuber (*Recurrent nets that time and
count*, IJCNN 2000): W_ci, W_cf, W_co are full matrices and not diagonals, and the candidate looks at C, too, by W_cg.
The output gate looks at C_{t-1} like all others, where theirs looks at C_t.

The article's own code does not run. Its mistakes, and what stands here instead:

1.  One weight matrix is sliced as if it were four. Here each gate has matrices of its own, `W_xi`, `W_hi`, `W_ci` and
    their bias `b_i`, under the article's names, so nothing is sliced.
2.  C is never fed back, although the equations have C_{t-1} in four places and a fifth where C_t is made from it.
    Without it f_t has nothing to keep and the network no memory but h. Here `C` lives beside `h` from step to step.
3.  tanh is written out with exponentials. They overflow above about 88 in float32 and 709 in float64, infinity divided
    by infinity is not a number, and through h and C that spoils every step that follows. Here it is `numpy.tanh`,
    which is ±1 there, and σ is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[np.floating[Any]]


def tanh(z: Array) -> Array:
    """The hyperbolic tangent, by numpy, which forms no exponential that could overflow."""
    return np.asarray(np.tanh(z))


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(-z)), as its equal (1 + tanh(z / 2)) / 2, which overflows nowhere."""
    return (1 + tanh(z / 2)) / 2


GATES = {"i": sigmoid, "f": sigmoid, "o": sigmoid, "g": tanh}
"""The gates and the candidate by the article's letters, with what each applies to its sum."""


def slope(gate: str, value: Array) -> Array:
    """The derivative of a gate's function, from its value: σ' = σ (1 - σ) and tanh' = 1 - tanh²."""
    return 1 - value**2 if gate == "g" else value * (1 - value)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step saw and made, as `backward` needs it.

    Attributes:
        X: the input, [B, input].
        h: of the step before, [B, hidden].
        C: of the step before, [B, hidden].
        gates: i, f, o and g, [B, hidden] each.
        shown: tanh(C_t), [B, hidden].
    """

    X: Array
    h: Array
    C: Array
    gates: dict[str, Array]
    shown: Array


class LSTM:
    """The article's network, with a state that goes on from call to call.

    Matrices that multiply h or C start orthogonal (Saxe, McClelland & Ganguli, ICLR 2014), those from the input and to
    the output evenly drawn as by Glorot & Bengio (AISTATS 2010), biases at 0, but the forget gate's at 1, so that it
    starts open (Gers, Schmidhuber & Cummins, *Learning to Forget*, 2000; Jozefowicz, Zaremba & Sutskever, ICML 2015).

    Args:
        input_size: the length of X_t.
        hidden_size: the length of h and C.
        output_size: the length of y_t.
        seed: of the weights.
        dtype: what is computed in, float64 or float32; a seed gives the same weights in both, but for rounding.

    Attributes:
        weights: by the article's names. `W_x·` [input, hidden], `W_h·` and `W_c·` [hidden, hidden], `b_·` [hidden], for
            i, f, o and g; `W_yo` [hidden, output], `b_y` [output]. They may be changed in place.
        h: what was last said, [B, hidden]; [1, hidden] zeros, which fit any batch, before the first step.
        C: what is remembered, of the same shape.

    Raises:
        ValueError: the dtype is not one of floating-point numbers.
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, *, seed: int = 0, dtype: DTypeLike = np.float64
    ) -> None:
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise ValueError(f"weights cannot be {self.dtype}: choose float64 or float32")
        draw = np.random.default_rng(seed)
        weights: dict[str, Array] = {}
        for gate in GATES:
            weights[f"W_x{gate}"] = _glorot(draw, input_size, hidden_size)
            weights[f"W_h{gate}"] = _orthogonal(draw, hidden_size)
            weights[f"W_c{gate}"] = _orthogonal(draw, hidden_size)
            weights[f"b_{gate}"] = np.full(hidden_size, 1.0 if gate == "f" else 0.0)
        weights["W_yo"] = _glorot(draw, hidden_size, output_size)
        weights["b_y"] = np.zeros(output_size)
        self.weights = {name: weight.astype(self.dtype) for name, weight in weights.items()}
        self._steps: list[Step] = []
        self.reset_states()

    def reset_states(self) -> None:
        """Forgets: what follows is a new sequence, in a batch of any size."""
        self.h: Array = np.zeros((1, self.hidden_size), self.dtype)
        self.C: Array = np.zeros((1, self.hidden_size), self.dtype)
        self._fresh = True

    def step(self, x: ArrayLike) -> Array:
        """One step: X_t, [B, input], to y_t, [B, output]; or [input] to [output].

        Raises:
            ValueError: x has another shape, or the state is that of another batch.
        """
        given = np.array(x, self.dtype)
        if given.ndim not in (1, 2) or given.shape[-1] != self.input_size:
            raise ValueError(f"x has shape {list(given.shape)}, not [{self.input_size}] or [B, {self.input_size}]")
        rows = np.atleast_2d(given)
        self._fit_state(len(rows))
        self._advance(rows)
        y = self._read_out()
        return y if given.ndim == 2 else y[0]

    def forward(self, X: ArrayLike) -> Array:
        """A sequence, or its next chunk: X, [T, B, input], to y, [T, B, output]. `backward` can follow.

        Raises:
            ValueError: X has another shape, or the state is that of another batch.
        """
        given = np.array(X, self.dtype)
        if given.ndim != 3 or given.shape[-1] != self.input_size or not len(given):
            raise ValueError(f"X has shape {list(given.shape)}, not [T, B, {self.input_size}] with T of at least 1")
        self._fit_state(given.shape[1])
        steps, y = [], []
        for rows in given:
            steps.append(self._advance(rows))
            y.append(self._read_out())
        self._steps = steps
        return np.stack(y)

    def backward(self, dy: ArrayLike) -> dict[str, Array]:
        """Backpropagation through time (Werbos, 1990), through h and through C.

        The state that the last `forward` started from counts as a constant.

        Args:
            dy: the derivative of the loss by that forward's y, [T, B, output].

        Returns:
            The derivative of the loss by each weight, under its name and of its shape.

        Raises:
            RuntimeError: there was no forward.
            ValueError: dy has another shape than y had.
        """
        gradients = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        for step, dy_t, _, sums in self._back(dy):
            h_t = step.gates["o"] * step.shown
            gradients["W_yo"] += h_t.T @ dy_t
            gradients["b_y"] += dy_t.sum(0)
            for gate, by_sum in sums.items():
                gradients[f"W_x{gate}"] += step.X.T @ by_sum
                gradients[f"W_h{gate}"] += step.h.T @ by_sum
                gradients[f"W_c{gate}"] += step.C.T @ by_sum
                gradients[f"b_{gate}"] += by_sum.sum(0)
        return gradients

    def hidden_gradients(self, dy: ArrayLike) -> Array:
        """The derivative of the loss by each h_t, [T, B, hidden]: how far back the loss is felt.

        With a loss of the last step alone, its norm over t is the picture of vanishing and exploding gradients. Takes
        what `backward` takes and raises what it raises.
        """
        return np.stack([dh for _, _, dh, _ in self._back(dy)][::-1])

    def _fit_state(self, batch: int) -> None:
        """Makes the state one of `batch` rows, in arrays that nobody else holds."""
        shape = (batch, self.hidden_size)
        if not self._fresh and not self.h.shape == self.C.shape == shape:
            raise ValueError(
                f"the state is {list(self.h.shape)} and the input wants {list(shape)}: to begin with another batch,"
                " call reset_states first"
            )
        self.h = np.array(np.broadcast_to(self.h, shape), self.dtype)
        self.C = np.array(np.broadcast_to(self.C, shape), self.dtype)
        self._fresh = False

    def _advance(self, X: Array) -> Step:
        w, h, C = self.weights, self.h, self.C
        gates: dict[str, Array] = {
            k: function(X @ w[f"W_x{k}"] + h @ w[f"W_h{k}"] + C @ w[f"W_c{k}"] + w[f"b_{k}"])
            for k, function in GATES.items()
        }
        self.C = gates["f"] * C + gates["i"] * gates["g"]
        shown = tanh(self.C)
        self.h = gates["o"] * shown
        return Step(X, h, C, gates, shown)

    def _read_out(self) -> Array:
        y: Array = self.h @ self.weights["W_yo"] + self.weights["b_y"]
        return y

    def _back(self, dy: ArrayLike) -> Iterator[tuple[Step, Array, Array, dict[str, Array]]]:
        """The steps of the last forward, from the last to the first.

        Yields:
            The step, and the loss's derivatives by its y_t, by its h_t (through y_t and all later steps), and by the
            sums that its gates' functions were applied to.
        """
        if not self._steps:
            raise RuntimeError("there is nothing to go back through: call forward first")
        w, given = self.weights, np.array(dy, self.dtype)
        batch = len(self._steps[0].X)
        if given.shape != (len(self._steps), batch, self.output_size):
            y = [len(self._steps), batch, self.output_size]
            raise ValueError(f"dy has shape {list(given.shape)}, not {y} as the y of the last forward")
        later_h = later_C = np.zeros((batch, self.hidden_size), self.dtype)  # through later steps alone
        for step, dy_t in zip(reversed(self._steps), given[::-1], strict=True):
            i, f, o, g = (step.gates[k] for k in "ifog")
            dh = later_h + dy_t @ w["W_yo"].T
            dC = later_C + dh * o * (1 - step.shown**2)
            by_gate = {"i": dC * g, "f": dC * step.C, "o": dh * step.shown, "g": dC * i}
            sums = {k: by_gate[k] * slope(k, step.gates[k]) for k in GATES}
            yield step, dy_t, dh, sums
            later_h = np.sum([sums[k] @ w[f"W_h{k}"].T for k in GATES], axis=0)
            later_C = np.sum([sums[k] @ w[f"W_c{k}"].T for k in GATES], axis=0) + dC * f


def _glorot(draw: np.random.Generator, inputs: int, outputs: int) -> Array:
    limit = np.sqrt(6 / (inputs + outputs))
    return draw.uniform(-limit, limit, (inputs, outputs))


def _orthogonal(draw: np.random.Generator, size: int) -> Array:
    q, r = np.linalg.qr(draw.normal(size=(size, size)))
    # With r's diagonal positive all orthogonal matrices are equally likely (Mezzadri, Notices of the AMS 54, 2007).
    return np.asarray(q * np.sign(np.diag(r)))
