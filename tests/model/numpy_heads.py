"""The heads once more, in numpy alone and one clip at a time, written from the papers' equations.

They share nothing with `model/net` but the names of the weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.net.reference import LSTM, sigmoid

Array = NDArray[Any]
Weights = Mapping[str, Array]


def linear(weights: Weights, name: str, given: Array) -> Array:
    return given @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", np.zeros(()))


def part(weights: Weights, name: str) -> dict[str, Array]:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def softmax(scores: Array, axis: int) -> Array:
    shares = np.exp(scores - scores.max(axis, keepdims=True))
    return np.asarray(shares / shares.sum(axis, keepdims=True))


def narrowed(weights: Weights, kinds: list[str], inputs: Mapping[str, Array]) -> Array:
    return np.concatenate([linear(weights, f"narrow.layers.{kind}", inputs[kind]) for kind in kinds], -1)


def lstm(weights: Weights, given: Array) -> Array:
    w, u = weights["cell.weight_ih_l0"], weights["cell.weight_hh_l0"]
    bias = weights["cell.bias_ih_l0"] + weights["cell.bias_hh_l0"]
    h = c = np.zeros(u.shape[1])
    told = []
    for x in given:
        i, f, g, o = np.split(w @ x + u @ h + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        told.append(h)
    return np.array(told)


def peephole(weights: Weights, given: Array) -> Array:
    projected, u = linear(weights, "of_input", given), weights["recurrence.step.of_state.weight"]
    see_i, see_f, see_o = np.split(weights["recurrence.step.peepholes"], 3)
    h = c = np.zeros(u.shape[1])
    told = []
    for x in projected:
        i, f, g, o = np.split(x + u @ h, 4)
        c = sigmoid(f + see_f * c) * c + sigmoid(i + see_i * c) * np.tanh(g)
        h = sigmoid(o + see_o * c) * np.tanh(c)
        told.append(h)
    return np.array(told)


def article_network(weights: Weights) -> LSTM:
    """The reference with the weights of the article's cell."""
    inputs, hidden = weights["of_input.weight"].shape[1], weights["recurrence.step.of_state.weight"].shape[1]
    network = LSTM(inputs, hidden, 1)
    named = zip("ifgo", *(np.split(weights[name], 4) for name in ARTICLE), strict=True)
    for gate, of_input, bias, of_state, of_cell in named:
        network.weights[f"W_x{gate}"] = of_input.T
        network.weights[f"W_h{gate}"] = of_state.T
        network.weights[f"W_c{gate}"] = of_cell.T
        network.weights[f"b_{gate}"] = bias
    return network


def article(weights: Weights, given: Array) -> Array:
    network = article_network(weights)
    told = []
    for x in given:
        network.step(x[np.newaxis])
        told.append(network.h[0])
    return np.array(told)


ARTICLE = ("of_input.weight", "of_input.bias", "recurrence.step.of_state.weight", "recurrence.step.of_cell.weight")


def layernorm(weights: Weights, given: Array) -> Array:
    def norm(name: str, values: Array) -> Array:
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    u = weights["recurrence.step.of_state.weight"]
    h: Array = np.zeros(u.shape[1])
    c = h
    told = []
    for x in norm("of_input.1", linear(weights, "of_input.0", given)):
        i, f, g, o = np.split(x + norm("recurrence.step.norm_state", u @ h), 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(norm("recurrence.step.norm_cell", c))
        told.append(h)
    return np.array(told)


CELLS: dict[str, Callable[[Weights, Array], Array]] = {
    "lstm": lstm,
    "peephole": peephole,
    "article": article,
    "layernorm": layernorm,
}


def bidirectional(weights: Weights, kinds: list[str], inputs: Mapping[str, Array]) -> Array:
    given = narrowed(weights, kinds, inputs)
    back = lstm(part(weights, "backwards"), given[::-1])[::-1]
    return np.concatenate((lstm(part(weights, "forwards"), given), back), 1)


def attention(weights: Weights, kinds: list[str], inputs: Mapping[str, Array]) -> tuple[Array, Array]:
    """What is understood after each step, [T, hops * hidden], and the shares after the last, [hops, T]."""
    states = lstm(part(weights, "cell"), narrowed(weights, kinds, inputs))
    steps, hidden = states.shape
    angles = np.arange(steps)[:, None] / 10_000 ** (np.arange(0, hidden, 2) / hidden)
    positions = np.stack((np.sin(angles), np.cos(angles)), 2).reshape(steps, -1)
    scores = np.tanh((states + positions) @ weights["score.0.weight"].T) @ weights["score.2.weight"].T
    shares = [softmax(scores[: step + 1], 0).T for step in range(steps)]
    return np.array([(share @ states[: share.shape[1]]).ravel() for share in shares]), shares[-1]


def others(weights: Weights, kinds: list[str], inputs: Mapping[str, Array], steps: int) -> Array:
    told = linear(weights, "of_others", narrowed(weights, kinds, inputs)) if kinds else np.zeros((steps, 1))
    return told + weights["bias"]


def spatial(weights: Weights, kind: str, kinds: list[str], inputs: Mapping[str, Array]) -> tuple[Array, Array]:
    """h after each step, [T, hidden], and the share of each position, [T, rows, columns]."""
    seen = inputs[kind + "_map"]
    steps, rows, columns, _ = seen.shape
    told = others(weights, [name for name in kinds if name != kind], inputs, steps)
    step = part(weights, "recurrence.step")
    h = c = np.zeros(step["of_state.weight"].shape[1])
    where = np.array([[y, x] for y in np.linspace(-1, 1, rows) for x in np.linspace(-1, 1, columns)])
    said, looked = [], []
    for time in range(steps):
        places = linear(weights, "narrow_map", seen[time].reshape(rows * columns, -1))
        keys = linear(weights, "key", np.concatenate((places, where), 1)) + step["of_hidden.weight"] @ h
        shares = softmax(np.tanh(keys) @ step["score.weight"][0], 0)
        i, f, g, o = np.split(told[time] + step["of_place.weight"] @ (shares @ places) + step["of_state.weight"] @ h, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        said.append(h)
        looked.append(shares.reshape(rows, columns))
    return np.array(said), np.array(looked)


def convolve(weight: Array, planes: Array) -> Array:
    """[O, I, K, K] over [I, H, W], zeros beyond the edge: [O, H, W]."""
    reach = weight.shape[2] // 2
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)))
    _, height, width = planes.shape
    windows = [padded[:, y : y + height, x : x + width] for y in range(weight.shape[2]) for x in range(weight.shape[3])]
    return np.asarray(np.einsum("oik,kihw->ohw", weight.reshape(*weight.shape[:2], -1), np.array(windows)))


def convlstm(weights: Weights, kind: str, kinds: list[str], inputs: Mapping[str, Array]) -> Array:
    seen = inputs[kind + "_map"]
    told = others(weights, [name for name in kinds if name != kind], inputs, len(seen))
    u, (see_i, see_f, see_o) = weights["recurrence.step.of_state.weight"], weights["recurrence.step.peepholes"]
    h = c = np.zeros_like(see_i)
    said = []
    for time, picture in enumerate(seen):
        narrow = np.moveaxis(linear(weights, "narrow_map", picture), 2, 0)
        gates = convolve(weights["of_map.weight"], narrow) + convolve(u, h) + np.ravel(told[time])[:, None, None]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f + see_f * c) * c + sigmoid(i + see_i * c) * np.tanh(g)
        h = sigmoid(o + see_o * c) * np.tanh(c)
        said.append(h.mean((1, 2)))
    return np.array(said)


def spread(weights: Weights, kinds: list[str], given: Mapping[str, Array]) -> Array:
    """What the deviations of each kind's features so far come to, after each step, [T, C]."""
    said = []
    for step in range(1, len(given[kinds[0]]) + 1):
        varied = {kind: np.hypot(given[kind][:step].std(0), 0.1) - 0.1 for kind in kinds}
        scaled = {kind: (varied[kind] - weights[f"means.{kind}"]) / weights[f"deviations.{kind}"] for kind in kinds}
        clipped = {kind: scaled[kind].clip(-3, 3) for kind in kinds}
        said.append(np.sum([linear(weights, f"experts.{kind}", clipped[kind]) for kind in kinds], 0))
    return np.array(said)


def answer(
    head: str, weights: Weights, kinds: list[str], mapped: str | None, inputs: Mapping[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """The logits after each step of one clip, [T, C], and the head's further outputs."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    given = {
        name: (values - weights[f"means.{name}"]) / weights[f"deviations.{name}"] for name, values in inputs.items()
    }
    votes = [linear(weights, f"experts.{kind}", given[kind]) for kind in kinds]
    counts = np.arange(1, len(votes[0]) + 1)[:, None]
    logits: Array = np.sum([vote.cumsum(0) / counts for vote in votes], 0)
    if f"spread.means.{kinds[0]}" in weights:
        logits = logits + spread(part(weights, "spread"), kinds, given)
    if head == "mean":
        return logits, {}
    reader, outputs = part(weights, "reader"), {}
    if head in CELLS:
        read = CELLS[head](part(reader, "cell"), narrowed(reader, kinds, given))
    elif head == "bidirectional":
        read = bidirectional(reader, kinds, given)
    elif head == "attention":
        read, outputs["attention"] = attention(reader, kinds, given)
        return logits + linear(weights, "read", read), outputs
    elif head == "spatial":
        read, outputs["attention_map"] = spatial(reader, mapped or "", kinds, given)
    else:
        read = convlstm(reader, mapped or "", kinds, given)
    return logits + linear(weights, "read", read).cumsum(0) / counts, outputs
