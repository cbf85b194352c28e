"""Encoders whose last stages are trained: what they read, what they give, and a whole run with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from model.data.recipe import EVERYDAY, RecipeError
from service.inference.bundle import Bundle
from service.inference.session import Device
from tests.model.clips import TORCH, WITHOUT_TORCH, quick_twins
from tests.model.test_run import Tiny, kinema
from tests.require import need

if TYPE_CHECKING:
    from model.net.stage import Stage


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def test_the_pose_encoder_stays_as_it_is() -> None:
    assert EVERYDAY.tuned() == ("appearance", "motion")
    assert EVERYDAY.tuned(["motion"]) == ("motion",)
    with pytest.raises(RecipeError, match="no encoder of pose that can be tuned"):
        EVERYDAY.tuned(["motion", "pose"])


def test_where_no_encoder_can_be_tuned_that_is_said() -> None:
    posed = EVERYDAY.model_copy(update={"evidence": EVERYDAY.evidence[2:]})
    with pytest.raises(RecipeError, match="no kind of evidence whose encoder can be tuned"):
        posed.tuned()


def test_trunk_and_stage_are_the_encoder() -> None:
    import torch

    from model.net.encoder import pretrained
    from model.net.stage import Stage, trunk

    whole = pretrained(with_map=True).eval()
    pictures = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        _, positions = trunk(whole)(pictures)
        for one, other in zip(Stage(whole).eval()(positions), whole(pictures), strict=True):
            assert torch.equal(one, other)


def test_a_tuned_encoders_graph_gives_what_the_stage_gives(tmp_path: Path) -> None:
    import onnxruntime as ort
    import torch

    from model.net.encoder import pretrained
    from model.net.stage import Stage, trunk
    from model.onnx.graph import write_encoder

    stage = tuned([0, 1, 2, 3])[0]
    whole = pretrained()
    Stage(whole).load_state_dict(stage.state_dict())
    write_encoder(whole, 64, tmp_path / "tuned.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    (found,) = ort.InferenceSession(tmp_path / "tuned.onnx").run(None, {"pictures": pictures})
    with torch.no_grad():
        _, positions = trunk(pretrained())(torch.from_numpy(pictures))
        features, _ = stage(positions)
        before, _ = Stage(pretrained()).eval()(positions)
    np.testing.assert_allclose(found, features.numpy(), atol=1e-4)
    assert not np.allclose(found, before.numpy(), atol=1e-2)


def tuned(clips: list[int], advance: int = 1) -> tuple[Stage, set[int]]:
    """A stage that was tuned on some of eight clips of three pictures, and the places of the pictures it read."""
    import torch

    from model.net.encoder import pretrained
    from model.net.stage import Stage
    from model.training.finetuning import Seen, TuneConfig, tune
    from model.training.shelf import Rows, Shelf

    read: set[int] = set()

    class Watched(Shelf):
        def take(self, places: NDArray[np.int64]) -> Rows:
            read.update(places.ravel().tolist())
            return super().take(places)

    shelf = Watched(Path())
    shelf.put(np.random.default_rng(0).normal(size=(24, 2, 2, 112)).astype(np.float16))
    places = [[np.arange(3 * clip, 3 * clip + 3)] for clip in range(8)]
    seen = Seen(shelf, places, torch.arange(8) % 2)
    torch.set_num_threads(1)
    stage = tune(Stage(pretrained()), seen, np.array(clips), TuneConfig(epochs=advance), seed=0)
    return stage, read


def test_tuning_reads_no_clip_that_it_is_not_trained_on() -> None:
    _, read = tuned([0, 1, 6, 7], advance=3)
    assert read == {*range(6), *range(18, 24)}


def test_the_same_clips_tune_the_same_weights() -> None:
    import torch

    one, other = (tuned([0, 1, 2])[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


class Tuned:
    """A run that tunes its encoders for one epoch, and keeps them whatever they give."""

    def __init__(self, directory: Path) -> None:
        self.trained_on: list[set[int]] = []
        with self.hurried():
            self.tiny = Tiny(directory, "--finetune", "--no-baselines")

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Few clips give no encoder that is surely better, and training one well takes minutes."""
        from model.run.choice import choose
        from model.training import finetuning

        def tune(stage, seen, clips, _, seed, advance):  # type: ignore[no-untyped-def]
            self.trained_on.append(set(clips.tolist()))
            return finetuning.tune(stage, seen, clips, finetuning.TuneConfig(epochs=1), seed, advance)

        def prefer_tuned(trials, labels, sources):  # type: ignore[no-untyped-def]
            found = choose(trials, labels, sources)
            return found.model_copy(update={"chosen": next((one for one in trials if one.tuned), found.chosen)})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("model.run.tunings.tune", tune)
            patch.setattr("model.course.course.choose", prefer_tuned)
            yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return Tuned(tmp_path_factory.mktemp("tuned"))


def test_each_fold_is_tuned_without_its_clips_and_what_is_kept_with_all(run: Tuned) -> None:
    first, second = set(range(4)), set(range(4, 8))
    assert run.trained_on == [second, second, first, first, first | second, first | second]
    for place in ("fold-0", "fold-1", "tuned"):
        assert (run.tiny.run / "encoders" / place / "drift.pt").is_file()


def test_a_run_with_tuned_encoders_ends_in_a_bundle_that_answers(run: Tuned) -> None:
    tiny = run.tiny
    bundle = Bundle.load(tiny.bundle, Device.choose("cpu", 1))
    assert sum(bundle.card.golden.scores) == pytest.approx(1)
    kept = (tiny.bundle / "drift.onnx").read_bytes()
    assert kept == (tiny.run / "encoders" / "tuned" / "drift.onnx").read_bytes()
    assert kept != (tiny.run / "encoders" / "drift.onnx").read_bytes()
    assert not (tiny.run / "positions").exists()
    said = [
        kinema("evaluate", where, tiny.data, "--cache", tiny.run / "cache").stdout for where in (tiny.run, tiny.bundle)
    ]
    assert said[0].splitlines()[0] == said[1].splitlines()[0]


def test_an_interrupted_tuning_goes_on_with_the_fold_that_it_was_at(run: Tuned) -> None:
    encoders = run.tiny.run / "encoders"
    weights = {path: path.read_bytes() for path in encoders.glob("*/*.pt")}
    trials = {path: path.read_bytes() for path in (run.tiny.run / "trials").iterdir()}
    lost = [encoders / "fold-1" / "drift.pt", *(run.tiny.run / "trials").glob("*-tuned-*-0-1.json")]
    for path in (*lost, run.tiny.run / "choice.json", run.tiny.run / "final.json"):
        path.unlink()
    run.trained_on.clear()
    with run.hurried():
        assert kinema(*run.tiny.options, "--resume").exit_code == 0
    assert run.trained_on == [set(range(4))]
    assert {path: path.read_bytes() for path in weights} == weights
    assert {path: path.read_bytes() for path in trials} == trials


def test_one_kind_alone_can_be_tuned(run: Tuned) -> None:
    with run.hurried():
        model = run.tiny.model.with_name("drift")
        assert kinema(*run.tiny.options, "-o", model, "--finetune-only", "drift").exit_code == 0
    assert sorted(path.name for path in (model / "training" / "encoders").glob("*/*.pt")) == ["drift.pt"] * 3
    assert "With the encoders of drift tuned," in json.loads((model / "training" / "choice.json").read_text())["why"]


def test_a_kind_that_cannot_be_tuned_is_refused_in_words(run: Tuned) -> None:
    with pytest.raises(RecipeError, match="no encoder of pose that can be tuned"):
        kinema(*run.tiny.options, "-o", run.tiny.model.with_name("pose"), "--finetune-only", "pose")


def test_where_there_is_no_time_for_every_fold_the_encoders_stay(run: Tuned) -> None:
    model = run.tiny.model.with_name("hurried")
    assert kinema(*run.tiny.options, "-o", model, "--minutes", "0.01").exit_code == 0
    encoders = model / "training" / "encoders"
    assert not (encoders / "tuned").exists()
    assert not list(encoders.glob("fold-*"))
    assert (model / "drift.onnx").read_bytes() == (encoders / "drift.onnx").read_bytes()
    assert "no time to tune" in json.loads((model / "training" / "choice.json").read_text())["why"]


def test_twins_are_measured_with_encoders_that_do_not_know_the_fold(run: Tuned) -> None:
    with quick_twins():
        said = kinema("quantize", run.tiny.run, run.tiny.data, "--cache", run.tiny.run / "cache").stdout
    assert "with their int8 twins" in said
    encoders = run.tiny.run / "encoders"
    for place in ("fold-0", "fold-1"):
        assert (encoders / place / "drift.onnx").is_file()
    assert (
        json.loads((run.tiny.run / "int8.json").read_text())["calibrated"] == "twins calibrated without the fold tested"
    )
    assert not (run.tiny.run / "positions").exists()
