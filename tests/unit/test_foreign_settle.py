"""What graphs say of themselves, what has to be told beside, and how each lack and contradiction is put in words."""

from typing import Any, NamedTuple

import pytest

from service.errors import ImportRefused
from service.foreign.given import Given
from service.foreign.settle import Settled, settle
from service.foreign.signature import Signature
from service.inference.session import Device, Session, Tensor
from service.inference.whole import Zeros
from tests.foreign import FLOATS, LABELS, NEEDED, ONNX, given

CPU = Device.choose("cpu", 1)


def signature(name: str) -> Signature:
    return Signature.read(Session(ONNX / f"{name}.onnx", CPU, half=True))


def settled(name: str, **changes: Any) -> Settled:
    return settle(signature(name), given(**{**NEEDED.get(name, FLOATS), **changes}))


def fault(name: str, **changes: Any) -> str:
    with pytest.raises(ImportRefused) as refused:
        settled(name, **changes)
    return refused.value.detail


@pytest.mark.parametrize(
    ("name", "clip", "type", "layout", "output"),
    [
        ("torchscript", "frames", "float32", "btchw", "logits"),
        ("dynamo", "clip", "float32", "ncthw", "linear"),
        ("half", "frames", "float16", "btchw", "logits"),
        ("state", "frames", "float32", "btchw", "logits"),
        ("handmade", "video", "uint8", "bthwc", "probabilities"),
    ],
)
def test_what_a_graph_says_is_taken_from_it(name: str, clip: str, type: str, layout: str, output: str) -> None:  # noqa: A002
    said, known = signature(name), settled(name)
    assert (said.clip.name, said.type, said.layouts) == (clip, type, (layout,))
    assert (known.layout, known.clip_len, known.size, known.output) == (layout, 8, 32, output)
    assert known.fps == 8.0
    sources = {one.what: one.source for one in known.told}
    assert sources["layout"] == sources["side"] == "graph"
    assert sources["number of frames"] == ("given" if name == "state" else "graph")
    assert sources["frames a second"] == "given"
    assert sources["windows of a clip"] == "default"


def test_states_and_lengths_are_fed() -> None:
    shape: tuple[Any, ...] = (1, "batch", 8)
    assert signature("state").zeros == tuple(Zeros(name=name, type="float32", shape=shape) for name in ("h0", "c0"))
    assert signature("handmade").lengths == ("lengths",)


def test_a_state_with_five_axes_is_no_second_clip() -> None:
    said = signature("odd-map-state")
    assert said.clip.name == "clip"
    assert [state.name for state in said.zeros] == ["state"]


def test_all_that_is_missing_is_told_at_once_with_its_choices() -> None:
    with pytest.raises(ImportRefused) as refused:
        settle(signature("odd-open-axes"), Given())
    lines = refused.value.detail.splitlines()
    assert [line.split(":")[0].strip() for line in lines if line.startswith("  --")] == [
        "--layout",
        "--clip-len",
        "--size",
        "--fps",
        "--mean and --std",
        "--labels",
        "--golden",
    ]
    assert "btchw or bthwc or ncthw" in refused.value.detail
    assert "      ImageNet                  --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225" in lines
    assert any(line.startswith("      Kinetics") for line in lines)


def test_the_golden_clip_is_the_given_one_or_the_shipped() -> None:
    def golden(**clips: bytes) -> tuple[bytes, list[str]]:
        known = settle(signature("handmade"), given(**{"golden": None, **clips}))
        return known.golden, [one.source for one in known.told if one.what == "golden clip"]

    assert golden(shipped_golden=b"shipped") == (b"shipped", ["default"])
    assert golden(golden=b"own", shipped_golden=b"shipped") == (b"own", ["given"])


def test_what_was_given_is_not_asked_for() -> None:
    told = fault("odd-open-axes", std=None, layout="btchw", clip_len=4)
    assert [line.split(":")[0].strip() for line in told.splitlines() if line.startswith("  --")] == ["--size", "--std"]


def test_two_axes_of_three_leave_open_which_is_colour() -> None:
    assert "btchw or ncthw (n" in fault("odd-three-frames")
    assert settled("odd-three-frames", layout="ncthw").layout == "ncthw"
    assert "--layout says bthwc, but clip float [?, 3, 3, 4, 4] can only be btchw or ncthw" in fault(
        "odd-three-frames", layout="bthwc"
    )


@pytest.mark.parametrize(
    ("name", "changes", "both_sides"),
    [
        (
            "torchscript",
            {"layout": "bthwc"},
            "--layout says bthwc, but frames float [?, 8, 3, 32, 32] can only be btchw",
        ),
        ("torchscript", {"clip_len": 16}, "--clip-len says 16, but the graph's number of frames is 8"),
        ("torchscript", {"size": 224}, "--size says 224, but the graph's side is 32"),
        ("torchscript", {"steps": "last"}, "--steps says last, but the answer logits float [?, 4] has no time axis"),
        ("torchscript", {"output": "scores"}, "--output says scores, but the graph's outputs are logits float [?, 4]"),
        (
            "torchscript",
            {"labels": LABELS[:3]},
            "--labels has 3 labels, but the graph's outputs are logits float [?, 4]",
        ),
        ("state", {"output": "hn"}, "--labels has 4 labels, but the graph's answer is hn float [1, ?, 8]"),
        ("handmade", {"mean": (0.5,) * 3}, "--mean says 0.5, but video uint8 [?, 8, 32, 32, 3] reads bytes"),
        ("handmade", {"std": (0.1, 0.2, 0.3)}, "--std says 0.1,0.2,0.3, but video uint8"),
    ],
)
def test_what_contradicts_the_graph_is_told_with_both_sides(name: str, changes: Any, both_sides: str) -> None:
    assert both_sides in fault(name, **changes)


def test_all_contradictions_are_told_at_once() -> None:
    told = fault("torchscript", size=224, clip_len=16)
    assert "--size" in told
    assert "--clip-len" in told


def test_an_answer_with_a_time_axis_asks_which_steps_count() -> None:
    assert "--steps: which steps of the answer logits float16 [?, ?, 4] count: last or mean" in fault(
        "half", steps=None
    )


def test_two_answers_ask_which() -> None:
    told = fault("odd-two-answers")
    assert "--output: which one is the answer, of logits float [?, 4]; other float [?, 4]" in told
    assert settled("odd-two-answers", output="other").output == "other"


def test_without_labels_nobody_is_asked_which_output_is_the_answer() -> None:
    told = fault("state", labels=None)
    assert "--labels" in told
    assert "--output" not in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd-single-frames", "looks like a classifier of single frames: clip float [?, 3, 4, 4]"),
        ("odd-features", "no input has the five axes of a clip"),
        ("odd-two-clips", "several clips at once, as SlowFast does: clip float [?, 4, 3, 4, 4]; slow float"),
        ("odd-one-channel", "no axis of the clip can have three channels"),
        ("odd-doubles", "goes in as clip double [?, 4, 3, 4, 4], and not as float32, float16 or uint8"),
        ("odd-mask", "nothing is known to feed the input mask bool [?, 4, 1, 1, 1]"),
        ("odd-no-answer", r"no output is [B, labels] or [B, T, labels] of floats: logits float [?]"),
        ("odd-not-square", "reads frames of 8 x 4 pixels, and Kinema makes square ones"),
    ],
)
def test_a_graph_that_cannot_be_served_is_refused_by_name(name: str, words: str) -> None:
    assert words in fault(name)


class Ends(NamedTuple):
    """What a signature is read from."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def test_only_what_is_called_like_a_state_or_a_length_is_taken_for_one() -> None:
    clip = Tensor("clip", (None, 4, 3, 4, 4), "tensor(float)")
    outputs = (Tensor("logits", (None, 4), "tensor(float)"), Tensor("kept", (1, None, 8), "tensor(float)"))
    known = [
        *(Tensor(name, (2, None, 8), "tensor(float)") for name in ("h0", "c_0", "hx", "rnn.hidden", "initial_state")),
        Tensor("before", (1, None, 8), "tensor(float)"),  # comes out again in the same shape
        Tensor("seq_len", (None,), "tensor(int64)"),
    ]
    found = Signature.read(Ends((clip, *known), outputs))
    assert len(found.zeros) == 6
    assert found.lengths == ("seq_len",)
    for strange in (Tensor("audio", (None, 16000), "tensor(float)"), Tensor("speaker_id", (None,), "tensor(int64)")):
        with pytest.raises(ImportRefused, match=f"nothing is known to feed the input {strange.name}"):
            Signature.read(Ends((clip, strange), outputs))
