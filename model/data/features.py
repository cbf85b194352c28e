"""What the encoders see in clips, extracted once and kept.

Encoders are frozen while a head is trained, so the features of a clip's view never change. They are kept in one file
for each view of a clip, named by all that they depend on: the clip's content, the encoders, the recipe, the view and
the code that makes pictures. A run that was interrupted finds them again.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.data.dataset import Clip, DataError
from model.data.recipe import Recipe
from model.data.views import LIMITS, Augmentation, task
from service.errors import ClipError
from service.video import decode as decoding
from service.video import preprocess, sample
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.encoded import EncodedClip
from service.video.probe import probe
from service.video.scan import EXACT, Shortcuts, shortcuts

_FORMAT = 1
# Clips that wait for each process.
_AT_ONCE = 4
# A span that begins later than this is sought and not scanned to.
_FAR_S = 5.0
# What decides the pixels of a clip's pictures: when this code changes, features that were kept are no longer true.
_PICTURES_CODE: Sequence[Any] = (decoding, preprocess, sample)


@dataclass(frozen=True)
class KindFeatures:
    """What one encoder saw in a clip.

    Attributes:
        features: float16 [pictures, D]; what half precision loses, 0.05 %, is far below what two views differ by.
        windows, steps: int64 [pictures], to which window and step each picture belongs.
        maps: float16 [pictures, rows, columns, channels], where the encoder has a map.
    """

    features: NDArray[np.float16]
    windows: NDArray[np.int64]
    steps: NDArray[np.int64]
    maps: NDArray[np.float16] | None = None


@dataclass(frozen=True)
class ClipFeatures:
    """What all encoders saw in one view of a clip.

    Attributes:
        kinds: by the name of the kind of evidence.
        lengths: recurrent steps of each window.
    """

    kinds: Mapping[str, KindFeatures]
    lengths: tuple[int, ...]

    def held(self, kind: str, window: int) -> NDArray[np.int64]:
        """The place of the picture that each step of a window sees, the latest as in serving: int64 [T]."""
        seen = self.kinds[kind]
        mine = np.flatnonzero(seen.windows == window)
        latest = np.searchsorted(seen.steps[mine], np.arange(self.lengths[window]), side="right") - 1
        return np.asarray(mine[latest], dtype=np.int64)

    def save(self, path: Path) -> None:
        """Writes the features, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[np.generic]] = {"lengths": np.array(self.lengths)}
        for name, seen in self.kinds.items():
            arrays |= {f"{name}/features": seen.features, f"{name}/windows": seen.windows, f"{name}/steps": seen.steps}
            arrays |= {f"{name}/maps": seen.maps} if seen.maps is not None else {}
        unfinished = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(unfinished, allow_pickle=False, **arrays)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            OSError: the file cannot be read.
        """
        with np.load(path) as arrays:
            names = dict.fromkeys(key.split("/")[0] for key in arrays if "/" in key)
            kinds = {
                name: KindFeatures(
                    arrays[f"{name}/features"],
                    arrays[f"{name}/windows"],
                    arrays[f"{name}/steps"],
                    arrays.get(f"{name}/maps"),
                )
                for name in names
            }
            return cls(kinds, tuple(int(length) for length in arrays["lengths"]))


@dataclass(frozen=True)
class Extractor:
    """Extracts features and keeps them.

    Attributes:
        recipe: what the model looks at.
        encoders: the ONNX encoder of each kind of evidence.
        augmentation: the ranges that views other than 0 are drawn from.
        cache: the directory in which features are kept.
    """

    recipe: Recipe
    encoders: Mapping[str, Path]
    augmentation: Augmentation
    cache: Path

    def identity(self) -> str:
        """A sha256 over all that features depend on, beside the clip and the view."""
        facts = {
            "format": _FORMAT,
            "pictures": [hashlib.sha256(Path(code.__file__).read_bytes()).hexdigest() for code in _PICTURES_CODE],
            # Which network it was is in the bytes of the encoder.
            "recipe": self.recipe.model_dump(mode="json", exclude={"networks"}),
            "encoders": {kind: hashlib.sha256(path.read_bytes()).hexdigest() for kind, path in self.encoders.items()},
            "augmentation": asdict(self.augmentation),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def extract(
        self, clips: Iterable[Clip], views: int, jobs: int, skip: Callable[[Clip, DataError], None] | None = None
    ) -> Iterator[tuple[Clip, list[ClipFeatures]]]:
        """Yields the first `views` views of every clip, in no particular order, as `look` finds them."""
        for clip, files in self.look(clips, views, jobs, skip):
            yield clip, [ClipFeatures.load(file) for file in files]

    def look(
        self, clips: Iterable[Clip], views: int, jobs: int, skip: Callable[[Clip, DataError], None] | None = None
    ) -> Iterator[tuple[Clip, list[Path]]]:
        """Yields where the first `views` views of every clip are kept, in no particular order.

        Args:
            clips: what to look at: files, or spans of files; taken a few at a time, so that their order counts.
            views: how many views of each; one is what serving sees.
            jobs: processes to extract in; each uses one core.
            skip: hears of each clip that cannot be read or decoded, and the others go on; by default it ends them.

        Raises:
            DataError: a clip cannot be read or decoded, and nobody hears of it; the detail names it.
        """
        identity = self.identity()
        running: dict[Future[list[Path]], Clip] = {}
        # Processes take a second to start: where all is kept already there are none.
        with ExitStack() as stack:
            pool: ProcessPoolExecutor | None = None
            for clip in clips:
                kept = self._kept(clip, views, identity)
                if kept is not None:
                    yield clip, kept
                    continue
                with _deaf_to_interrupts():
                    if pool is None:
                        pool = self._pool(jobs, identity, stack)
                    running[pool.submit(_extract, clip, views)] = clip
                if len(running) >= _AT_ONCE * jobs:
                    yield from _done(running, skip)
            while running:
                yield from _done(running, skip)

    def _pool(self, jobs: int, identity: str, stack: ExitStack) -> ProcessPoolExecutor:
        # Processes are spawned because a forked copy of onnxruntime's threads may hang.
        pool = stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"), _start, (self, identity)))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        return pool

    def _kept(self, clip: Clip, views: int, identity: str) -> list[Path] | None:
        """Where a clip's features are, if all of them are kept."""
        try:
            content = _content(clip)
        except OSError:
            return None  # whoever looks at it tells
        files = [self.file(identity, content, view) for view in range(views)]
        return files if all(file.is_file() for file in files) else None

    def file(self, identity: str, content: str, view: int) -> Path:
        """Where a view of a clip is kept."""
        key = hashlib.sha256(f"{identity}/{content}/{view}".encode()).hexdigest()
        return self.cache / key[:2] / f"{key}.npz"


def _done(
    running: dict[Future[list[Path]], Clip], skip: Callable[[Clip, DataError], None] | None
) -> Iterator[tuple[Clip, list[Path]]]:
    """Takes away those that are done, of which there is at least one."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for one in done:
        clip, error = running.pop(one), one.exception()
        if skip is not None and isinstance(error, DataError):
            skip(clip, error)
        else:
            yield clip, one.result()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started here never hear Ctrl-C, which a terminal sends to all: they end with their parent.

    This process hears afterwards what was sent meanwhile.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """What a process keeps between clips."""

    def __init__(self, extractor: Extractor, identity: str) -> None:
        cv2.setNumThreads(1)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.extractor = extractor
        self.identity = identity
        self.sessions = {
            kind: ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for kind, path in extractor.encoders.items()
        }

    def file(self, content: str, view: int) -> Path:
        return self.extractor.file(self.identity, content, view)

    def see(self, data: EncodedClip, wanted: DecodeTask) -> ClipFeatures:
        pictures: defaultdict[str, list[MadePicture]] = defaultdict(list)
        receipt = decode(data, wanted, lambda made: pictures[made.kind].append(made))
        return ClipFeatures({kind: self._encode(kind, made) for kind, made in pictures.items()}, receipt.steps)

    def _encode(self, kind: str, made: list[MadePicture]) -> KindFeatures:
        features, *maps = self.sessions[kind].run(None, {"pictures": np.stack([picture.pixels for picture in made])})
        return KindFeatures(
            np.asarray(features, dtype=np.float16),
            np.array([picture.window for picture in made]),
            np.array([picture.step for picture in made]),
            np.asarray(maps[0], dtype=np.float16) if maps else None,
        )


_worker: _Worker


def _start(extractor: Extractor, identity: str) -> None:
    global _worker  # noqa: PLW0603 - a pool's process has nowhere else to keep what its initializer made
    _worker = _Worker(extractor, identity)


def _extract(clip: Clip, views: int) -> list[Path]:
    try:
        content = _content(clip)
        files = [_worker.file(content, view) for view in range(views)]
        if all(file.is_file() for file in files):
            return files
        with EncodedClip.read(clip.path) as data:
            past = _shortcuts(clip, data)
            for view, file in enumerate(files):
                if not file.is_file():
                    _worker.see(data, replace(_task(clip, data, content, view), shortcuts=past)).save(file)
    except OSError as error:
        raise DataError(f"the clip {clip.path} cannot be read: {error.strerror}") from error
    except ClipError as error:
        named = f"{clip.path}, {clip.span} s," if clip.span else str(clip.path)
        raise DataError(f"the clip {named} cannot be used: {error.detail}", error.advice) from error
    return files


def _content(clip: Clip) -> str:
    """What tells a clip from others, in hexadecimal: sha256 of the file, or of that and the span."""
    with clip.path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{content}@{clip.span}".encode()).hexdigest() if clip.span else content


def _task(clip: Clip, data: EncodedClip, content: str, view: int) -> DecodeTask:
    extractor = _worker.extractor
    return task(extractor.recipe, extractor.augmentation, data, content, view, clip.start_s, clip.end_s)


def _shortcuts(clip: Clip, data: EncodedClip) -> Shortcuts:
    """To a span of a long file by its key frames: else each span would cost the decoding of all before it."""
    if clip.start_s < _FAR_S:
        return EXACT
    return next(iter(shortcuts(probe(data, LIMITS), _worker.extractor.recipe.plan.fps)), EXACT)
