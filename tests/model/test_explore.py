"""`kinema explore`: what it computes is what the head computes, and its page shows that and asks for nothing."""

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from model import cli
from service.alone import answer, look
from service.errors import BundleError, BundleMismatch, ClipError, KinemaError
from service.inference.bundle import Bundle
from service.inference.card import CARD, LENGTHS, Card, Sampling
from service.inference.session import Device
from tests.foreign import imported
from tests.head_bundles import LABELS, make_bundle
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need
from tests.samples import CLIPS, ROOT, clip

if TORCH or TYPE_CHECKING:
    import onnx
    import torch

    from model.bundle.share import record
    from model.explore import facts
    from model.explore.exploration import Exploration, explore
    from model.explore.page import render
    from model.explore.witness import Trace
    from model.net.classifier import HeadName
    from model.net.recurrent import Recurrent
    from model.onnx.graph import read_recurrent

HEADS: "tuple[HeadName, ...]" = get_args(cli.Head)
MAPPED = ("spatial", "convlstm")
CLIP = "real-golf.mp4"
TOLERANCE = 1e-5  # absolute; logits lie between -5 and 5, memories between -20 and 20
HOSTILE = '"><img src=x onerror=alert(1)>&.mp4'

SECTIONS: "dict[str, set[HeadName]]" = {
    "The gates": set(HEADS) - {"mean"},
    "The memory": set(HEADS) - {"mean"},
    "How far back the answer is felt": set(HEADS) - {"mean"},
    "How to read this": set(HEADS) - {"mean"},
    "reading backwards": {"bidirectional"},
    "Attention over the steps": {"attention"},
    "Attention over the picture": {"spatial"},
    "Where the memory is": {"convlstm"},
    "no recurrent network": {"mean"},
    "What it looked at": set(HEADS),
    "How the answer came about": set(HEADS),
    "What this head is": set(HEADS),
    "Window 2 of 2": set(HEADS),
}

app = typer.Typer()
app.command()(cli.explore)


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping["HeadName", Path]:
    need("train", TORCH, WITHOUT_TORCH)
    directory = tmp_path_factory.mktemp("heads")
    return {head: make_bundle(directory, head, Sampling(num_clips=2, clip_len=5, fps=8)) for head in HEADS}


@pytest.fixture(scope="module")
def found(bundles: Mapping["HeadName", Path]) -> Mapping["HeadName", "Exploration"]:
    return {head: explore(bundle, clip(CLIP)) for head, bundle in bundles.items()}


class Page(HTMLParser):
    """The parts of a page that could ask for something, or do it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def sources(self) -> list[str]:
        return [value for name, value in self.attributes if name in {"src", "href", "srcset"}]


@pytest.fixture(scope="module")
def pages(found: Mapping["HeadName", "Exploration"]) -> Mapping["HeadName", str]:
    return {head: render(one, HOSTILE) for head, one in found.items()}


def test_the_command_writes_the_page(
    bundles: Mapping["HeadName", Path], pages: Mapping["HeadName", str], tmp_path: Path
) -> None:
    given = shutil.copyfile(CLIPS / CLIP, tmp_path / HOSTILE)
    page = tmp_path / "page.html"
    said = CliRunner().invoke(app, [str(given), "-o", str(page)], env={"KINEMA_MODEL": str(bundles["attention"])})
    assert said.exit_code == 0, said.exception
    assert str(page) in said.stdout
    assert page.read_text(encoding="utf-8") == pages["attention"]


@pytest.mark.parametrize("head", HEADS)
def test_a_page_has_the_sections_of_its_head(head: "HeadName", pages: Mapping["HeadName", str]) -> None:
    words = Page(pages[head]).words
    for section, heads in SECTIONS.items():
        assert (section in words) == (head in heads), section


@pytest.mark.parametrize("head", HEADS)
def test_a_page_asks_for_nothing(head: "HeadName", pages: Mapping["HeadName", str]) -> None:
    page = Page(pages[head])
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "base", "audio", "video"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert not re.search(r"https?://|url\(|@import", pages[head])
    assert "default-src 'none'" in pages[head]
    assert len(pages[head]) < 1_000_000


@pytest.mark.parametrize("head", HEADS)
def test_the_drawings_in_a_page_ask_for_nothing(head: "HeadName", pages: Mapping["HeadName", str]) -> None:
    kind = "data:image/svg+xml;base64,"
    drawings = [one.removeprefix(kind) for one in Page(pages[head]).sources if one.startswith(kind)]
    assert drawings
    for drawing in map(base64.b64decode, drawings):
        for element in ET.fromstring(drawing).iter():
            assert not element.tag.endswith(("script", "foreignObject"))
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:")), value
        assert not re.search(rb"url\((?!#)", drawing)
        assert b"prefers-color-scheme:dark" in drawing


@pytest.mark.parametrize("head", HEADS)
def test_hostile_names_are_words_and_nothing_else(head: "HeadName", pages: Mapping["HeadName", str]) -> None:
    page = Page(pages[head])
    assert HOSTILE in page.words
    assert "<script>alert(1)</script>" in page.words
    assert "<not> at all" in page.words
    assert ("src", "x") not in page.attributes
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", pages[head])


@pytest.mark.parametrize("head", HEADS)
def test_the_scores_are_those_of_the_bundle(
    head: "HeadName",
    bundles: Mapping["HeadName", Path],
    found: Mapping["HeadName", "Exploration"],
    pages: Mapping["HeadName", str],
) -> None:
    bundle = Bundle.load(bundles[head], Device.choose("cpu", 1))
    expected = answer(bundle, clip(CLIP))
    words = Page(pages[head]).words
    assert [one.label_id for one in found[head].predictions] == np.argsort(-expected, kind="stable")[:5].tolist()
    for one in found[head].predictions:
        assert one.score == pytest.approx(expected[one.label_id], abs=TOLERANCE)
        assert f"{one.score:.3f}" in words


@pytest.mark.parametrize("head", HEADS)
def test_what_is_seen_at_each_step_is_what_the_graph_says(
    head: "HeadName", bundles: Mapping["HeadName", Path], found: Mapping["HeadName", "Exploration"]
) -> None:
    bundle = Bundle.load(bundles[head], Device.choose("cpu", 1))
    inputs = look(bundle, clip(CLIP))
    names = ["logits", *(output.name for output in bundle.card.recurrent.outputs)]
    given = {**inputs, **bundle.recurrent.start(len(inputs[LENGTHS]))}
    logits, *outputs = bundle.recurrent.session.run(names, given)
    for number, window in enumerate(found[head].windows):
        np.testing.assert_allclose(window.seen.logits, logits[number, : window.steps], rtol=0, atol=TOLERANCE)
        assert set(window.seen.outputs) == set(names[1:])
        for name, values in zip(names[1:], outputs, strict=True):
            np.testing.assert_allclose(window.seen.outputs[name], values[number], rtol=0, atol=TOLERANCE, err_msg=name)
        for scores in (window.scores, *window.opinions.values()):
            np.testing.assert_allclose(scores.sum(1), 1)


def traces(found: Mapping["HeadName", "Exploration"], *heads: "HeadName") -> "Iterator[Trace]":
    for head in heads:
        for window in found[head].windows:
            yield from window.traces


def test_gates_and_memories_obey_the_equations(found: Mapping["HeadName", "Exploration"]) -> None:
    for trace in traces(found, *(head for head in HEADS if head not in {"mean", "layernorm"})):
        parts = trace.forget_gate, trace.input_gate, trace.candidate, trace.output_gate, trace.cell, trace.hidden
        forget, write, candidate, said, cell, hidden = (facts.in_reading_order(trace, part) for part in parts)
        before = np.concatenate([np.zeros_like(cell[:1]), cell[:-1]])
        np.testing.assert_allclose(cell, forget * before + write * candidate, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(hidden, said * np.tanh(cell), rtol=0, atol=TOLERANCE)


def test_every_recurrent_network_is_watched(found: Mapping["HeadName", "Exploration"]) -> None:
    for head in HEADS:
        seen = [trace.backwards for trace in found[head].windows[0].traces]
        assert seen == {"mean": [], "bidirectional": [False, True]}.get(head, [False]), head
        assert all((trace.cell.ndim == 4) == (head == "convlstm") for trace in traces(found, head))


def test_the_memory_after_the_last_step_is_the_state(
    bundles: Mapping["HeadName", Path], found: Mapping["HeadName", "Exploration"]
) -> None:
    for head in ("lstm", "layernorm", "attention", "spatial", "convlstm", "bidirectional"):
        bundle = Bundle.load(bundles[head], Device.choose("cpu", 1))
        _, state = bundle.recurrent.run(look(bundle, clip(CLIP)))
        for number, window in enumerate(found[head].windows):
            trace = window.traces[0]
            for name, values in (("h", trace.hidden), ("c", trace.cell)):
                # Memories are sums over steps.
                np.testing.assert_allclose(values[-1].ravel(), state[name][number], rtol=0, atol=10 * TOLERANCE)


def slope(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """∂loss/∂logits."""
    shares = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(shares / shares.sum() - (np.arange(len(logits)) == logits.argmax()))


@pytest.mark.parametrize("head", ["lstm", "peephole", "article", "layernorm", "spatial", "convlstm"])
def test_the_last_steps_gradient_is_that_of_its_own_vote(
    head: "HeadName", bundles: Mapping["HeadName", Path], found: Mapping["HeadName", "Exploration"]
) -> None:
    network = read_recurrent(bundles[head] / "recurrent.onnx")
    weight = network.read.weight.detach().numpy().astype(np.float64)
    for window in found[head].windows:
        (trace,) = window.traces
        places = int(np.prod(trace.cell.shape[2:]))
        vote = np.linalg.norm(weight.T @ slope(window.seen.logits[-1])) / window.steps / places**0.5
        assert trace.later[-1] == 0
        assert trace.gradient[-1] == pytest.approx(vote, rel=1e-3)
        assert (trace.later[:-1] > 0).all()


@pytest.mark.parametrize("head", ["lstm", "article"])
def test_gradients_are_those_of_the_whole_sequence(
    head: "HeadName", bundles: Mapping["HeadName", Path], found: Mapping["HeadName", "Exploration"]
) -> None:
    network = read_recurrent(bundles[head] / "recurrent.onnx")
    assert isinstance(network.reader, Recurrent)
    inputs = look(Bundle.load(bundles[head], Device.choose("cpu", 1)), clip(CLIP))
    window, steps = found[head].windows[0], found[head].windows[0].steps
    given = {name: torch.from_numpy(inputs[name][:1, :steps]) for name in network.config.features}
    standard = {name: (values - network.means[name]) / network.deviations[name] for name, values in given.items()}
    cell = network.reader.cell
    projected, (h, memory) = cell.project(network.reader.narrow(standard)), cell.start(1)
    nudges = [torch.zeros_like(h, requires_grad=True) for _ in range(steps)]
    votes = torch.zeros(len(LABELS))
    for time, nudge in enumerate(nudges):
        moment = cell.moment(projected[:, time], h, memory)
        h, memory = moment.hidden + nudge, moment.cell
        votes = votes + network.read(h)[0] / steps
    others = sum(window.seen.experts[name][-1] for name in network.config.features)
    logits = torch.as_tensor(others) + votes
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, logits.argmax()), nudges)
    norms = [float(one.norm()) for one in gradients]
    np.testing.assert_allclose(window.traces[0].gradient, norms, rtol=1e-3)


def test_a_head_says_what_it_is(found: Mapping["HeadName", "Exploration"], pages: Mapping["HeadName", str]) -> None:
    for head in HEADS:
        words = Page(pages[head]).words
        told = found[head].head
        assert told.name == head
        assert (told.reader_parameters == 0) == (head == "mean")
        assert f"{told.parameters:,}" in words
        assert ("no: it needs the whole window" in words) == (head == "bidirectional")
        assert f"{sum(told.state.values())} numbers" in words
        assert "0.125" in words  # the accuracy on the card


def test_what_is_said_of_gates_and_shares() -> None:
    halved = np.full((4, 3), 0.5, dtype=np.float32)
    halved[:, 1], halved[:, 2] = 1, 0.25
    np.testing.assert_allclose(facts.half_lives(halved), [1, np.inf, 0.5])
    gate = facts.gate(np.array([[0.95, 0.05], [0.5, 0.92]], dtype=np.float32))
    assert (gate.open, gate.shut, gate.widest) == (0.5, 0.25, 1)
    assert facts.spread_over(np.full(8, 1 / 8, dtype=np.float32)) == pytest.approx(8)
    assert facts.spread_over(np.array([0, 1, 0], dtype=np.float32)) == 1
    leads = np.array([[0.6, 0.4], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2], [0.9, 0.1]])
    assert facts.lead_since(leads) == 3
    assert facts.lead_since(leads[3:]) == 0


def made_trace(cell: list[list[float]], *, backwards: bool) -> "Trace":
    values = np.array(cell, dtype=np.float32)
    none = np.zeros(len(values))
    return Trace(backwards, values, values, values, values, values, values, none, none)


def test_what_is_said_of_a_memory() -> None:
    cell: list[list[float]] = [[0, 1, 0], [1, 1, -2], [1.5, 0.5, -3]]
    ahead, back = (made_trace(rows, backwards=way) for rows, way in ((cell, False), (cell[::-1], True)))
    for trace, busiest in ((ahead, 1), (back, 1)):
        assert facts.order(trace).tolist() == [0, 1, 2]
        assert [one.unit for one in facts.changed_most(trace)] == [2, 0, 1]
        assert (facts.changed_most(trace)[0].first, facts.changed_most(trace)[0].last) == (0, -3)
        assert facts.busiest(trace) == busiest
    assert facts.busiest(made_trace([[1, 2]], backwards=False)) is None


def test_a_clip_of_one_step_is_explored(bundles: Mapping["HeadName", Path], tmp_path: Path) -> None:
    for head in ("attention", "bidirectional", "spatial", "convlstm"):
        page = tmp_path / f"{head}.html"
        said = CliRunner().invoke(app, [str(CLIPS / "one-frame.mp4"), "-m", str(bundles[head]), "-o", str(page)])
        assert said.exit_code == 0, said.exception
        assert "1 steps" in page.read_text()


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments]).exception


def test_a_head_that_cannot_be_read_back_is_named(bundles: Mapping["HeadName", Path], tmp_path: Path) -> None:
    mute = shutil.copytree(bundles["lstm"].parent, tmp_path / "heads") / bundles["lstm"].name
    graph = onnx.load(mute / "recurrent.onnx")
    kept = [entry for entry in graph.metadata_props if entry.key != "kinema.head"]
    del graph.metadata_props[:]
    graph.metadata_props.extend(kept)
    onnx.save(graph, mute / "recurrent.onnx")
    error = run(CLIPS / CLIP, "-m", mute, "-o", tmp_path / "x.html")
    assert isinstance(error, BundleMismatch)  # before anything is made of a damaged file
    card = Card.read(mute)
    files = card.files | {"recurrent.onnx": record(mute / "recurrent.onnx")}
    (mute / CARD).write_text(card.model_copy(update={"files": files}).model_dump_json(exclude_none=True))
    error = run(CLIPS / CLIP, "-m", mute, "-o", tmp_path / "x.html")
    assert isinstance(error, BundleError)
    assert "does not say which network it is" in error.detail
    assert "kinema export" in error.advice
    (mute / CARD).unlink()
    assert isinstance(run(CLIPS / CLIP, "-m", mute), BundleError)
    assert not (tmp_path / "x.html").exists()


def test_a_network_from_elsewhere_has_no_inside_to_show(tmp_path: Path) -> None:
    imported("torchscript", tmp_path / "other")
    error = run(CLIPS / CLIP, "-m", tmp_path / "other", "-o", tmp_path / "x.html")
    assert isinstance(error, BundleError)
    assert "exported elsewhere" in error.detail
    assert error.advice


def test_clips_and_pages_that_cannot_be_used_are_named(bundles: Mapping["HeadName", Path], tmp_path: Path) -> None:
    for error, said in (
        (run(tmp_path / "none.mp4", "-m", bundles["mean"]), "cannot be read"),
        (run(CLIPS / CLIP, "-m", bundles["mean"], "-o", tmp_path / "no" / "page.html"), "cannot be written"),
        (run(CLIPS / CLIP, "-m", bundles["mean"], "-o", CLIPS / CLIP), "is the clip itself"),
    ):
        assert isinstance(error, KinemaError)
        assert said in error.detail
        assert error.advice
    assert isinstance(run(CLIPS / "text.mp4", "-m", bundles["mean"], "-o", tmp_path / "x.html"), ClipError)


def test_the_documents_pictures_are_drawn(bundles: Mapping["HeadName", Path], tmp_path: Path) -> None:
    heads = bundles["lstm"].parent
    command: list[str | Path] = [sys.executable, ROOT / "docs/pictures/models.py", heads, CLIPS / CLIP, "-o", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = {"gates.png", "memory.png", "attention-steps.png", "attention-picture.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_the_page_knows_every_head() -> None:
    from model.explore.primer import HEADS as TOLD

    assert set(TOLD) == set(HEADS)
