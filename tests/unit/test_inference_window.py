"""Windows: gathered from the pictures of a clip, filled up, laid out, and read in batches of the graph's size."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from service.events import BatchEncoded
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle
from service.inference.session import Device
from service.inference.window import Gathering, Passing, WindowReader, logits
from service.video.decode import Decoded, MadePicture, Media
from tests.foreign import imported

CPU = Device.choose("cpu", 1)
PATIENCE_S = 30.0
MEDIA = Media(2.0, 160, 120, 30.0, "container", "h264", 60)


def receipt(*steps: int) -> Decoded:
    return Decoded(MEDIA, (0.0,) * sum(steps), steps, {"clip": sum(steps)}, 1, ("as it was",))


def picture(window: int, step: int) -> MadePicture:
    return MadePicture("clip", window, step, np.full((2, 2, 3), 10 * window + step, dtype=np.uint8))


def gathered(*steps: int) -> tuple[list[MadePicture], Decoded]:
    """What comes of windows with so many pictures each, of four that are wanted."""
    windows: list[MadePicture] = []
    intake = Gathering(4, windows.append)
    for window, count in enumerate(steps):
        for step in range(count):
            intake.put(picture(window, step))
    return windows, intake.close(receipt(*steps))


def levels(made: MadePicture) -> list[int]:
    assert made.pixels.shape == (4, 2, 2, 3)
    return [int(one) for one in made.pixels[:, 0, 0, 0]]


def test_full_windows_are_handed_on_as_they_are() -> None:
    windows, decoded = gathered(4, 4)
    assert [(made.kind, made.window, made.step) for made in windows] == [("clip", 0, 0), ("clip", 1, 0)]
    assert [levels(made) for made in windows] == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert decoded == replace(receipt(4, 4), steps=(1, 1))


def test_a_full_window_does_not_wait_for_the_next() -> None:
    windows: list[MadePicture] = []
    intake = Gathering(2, windows.append)
    intake.put(picture(0, 0))
    assert not windows
    intake.put(picture(0, 1))
    assert len(windows) == 1


def test_a_short_window_repeats_its_last_picture_and_the_receipt_tells() -> None:
    windows, decoded = gathered(4, 1)
    assert levels(windows[1]) == [10, 10, 10, 10]
    assert (decoded.steps, decoded.padded, decoded.pictures) == ((1, 1), 1 + 3, {"clip": 8})
    assert decoded.warnings == ("as it was", "last frame repeated 3 times, since the model reads 4 frames at once")


def test_a_short_window_may_be_followed_by_another() -> None:
    windows, decoded = gathered(3, 2)
    assert [levels(made) for made in windows] == [[0, 1, 2, 2], [10, 11, 11, 11]]
    assert decoded.padded == 1 + 3


def test_pictures_of_other_bundles_pass_as_they_come() -> None:
    taken: list[MadePicture] = []
    intake = Passing(taken.append)
    made = picture(0, 0)
    intake.put(made)
    assert taken == [made]
    assert intake.close(receipt(1)) == receipt(1)


@pytest.fixture(scope="module", params=["torchscript", "dynamo", "half", "handmade"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> WindowReader:
    directory: Path = tmp_path_factory.mktemp("made") / "bundle"
    imported(request.param, directory)
    (found,) = Bundle.load(directory, CPU).encoders.values()
    assert isinstance(found, WindowReader)
    return found


def test_any_number_of_windows_gets_the_answers_that_each_gets_alone(reader: WindowReader) -> None:
    random = np.random.default_rng(1)
    windows: list[NDArray[np.uint8]] = [
        random.integers(0, high, (8, 32, 32, 3), dtype=np.uint8) for high in (256, 200, 120, 60, 20)
    ]
    alone = np.concatenate([reader.encode([window])["clip"] for window in windows])
    assert alone.shape == (5, 4)
    assert alone.dtype == np.float32
    assert np.abs(np.diff(alone, axis=0)).max(axis=1).min() > 1e-3, "the windows are told apart"
    for count in (2, 3, 5):
        np.testing.assert_allclose(reader.encode(windows[:count])["clip"], alone[:count], rtol=0, atol=1e-3)


def test_a_probability_of_zero_has_a_logarithm(tmp_path: Path) -> None:
    whole = imported("handmade", tmp_path / "bundle").tried.whole
    found = logits(np.array([[0, 1, 0, 0]], dtype=np.float32), whole)
    assert np.isfinite(found).all()
    assert found[0, 1] == 0
    assert found[0, 0] < -80


def test_of_an_answer_at_every_step_the_last_or_their_mean_counts(tmp_path: Path) -> None:
    whole = imported("half", tmp_path / "bundle").tried.whole
    answer = np.arange(6, dtype=np.float16).reshape(1, 3, 2)
    np.testing.assert_array_equal(logits(answer, whole), [[4, 5]])
    np.testing.assert_array_equal(logits(answer, whole.model_copy(update={"steps": "mean"})), [[2, 3]])


def test_windows_of_all_clips_in_flight_are_read_together(tmp_path: Path) -> None:
    imported("torchscript", tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle", CPU)
    batches: list[int] = []
    others_wait = Event()

    def observe(event: object) -> None:
        assert isinstance(event, BatchEncoded)
        batches.append(event.pictures)
        others_wait.wait(PATIENCE_S)  # in the slot's thread, which takes nothing meanwhile

    batcher = Batcher(bundle.encoders, bundle.card.evidence, slots=1, max_batch=4, observe=observe)
    random = np.random.default_rng(1)
    windows = [random.integers(0, high, (8, 32, 32, 3), dtype=np.uint8) for high in (256, 200, 120, 60)]
    orders = [batcher.order() for _ in windows]
    try:
        for order, window in zip(orders, windows, strict=True):
            intake = bundle.intake(order.put)
            for step, pixels in enumerate(window):
                intake.put(MadePicture("clip", 0, step, pixels))
            intake.close(receipt(8))
            order.close()
            if order is orders[0]:
                order.done.result(PATIENCE_S)
        others_wait.set()
        for order, window in zip(orders, windows, strict=True):
            order.done.result(PATIENCE_S)
            found, _ = bundle.recurrent.run(order.sequence.inputs((1,)))
            np.testing.assert_allclose(found, bundle.encoders["clip"].encode([window])["clip"], rtol=0, atol=1e-5)
    finally:
        others_wait.set()
        batcher.stop()
    assert batches == [1, 3]
