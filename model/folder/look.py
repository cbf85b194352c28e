"""A cheap look at each file: can a frame of it be decoded, how long is it, what is its content."""

from __future__ import annotations

import hashlib
import multiprocessing
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from model.data.views import LIMITS
from model.folder.frames import clip_of_frames
from service.errors import ClipError
from service.video.encoded import EncodedClip
from service.video.scan import Scan
from service.video.source import nothing_decoded

Watch = Callable[[int, int], None]
"""Told how many files have been looked at, of how many."""

# So many files are handed to the processes at once: enough to keep them busy, few enough to be asked again one by one
# when one of them kills its decoder.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a file has shown.

    Attributes:
        path: the file; for a folder of frames the clip that was made of it.
        content: sha256 of the file, in hexadecimal.
        duration_s: seconds that the container states; None where it states nothing credible.
        width, height: pixels of a frame as it is seen.
        fps: frames a second.
    """

    path: Path
    content: str
    duration_s: float | None
    width: int
    height: int
    fps: float


@dataclass(frozen=True)
class Looker:
    """Looks at files.

    Attributes:
        cache: where clips made of frames are kept.
        fps: at which frames in folders were taken.
    """

    cache: Path
    fps: float

    def look(self, path: Path) -> Seen | str:
        """What a file shows, or why it cannot be used."""
        try:
            file = clip_of_frames(path, self.fps, self.cache) if path.is_dir() else path
            state = file.stat()
            if not stat.S_ISREG(state.st_mode):
                return "it is no ordinary file"
            if not state.st_size:
                return "it is empty"
            return _seen(file)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        except ClipError as error:
            return error.detail
        except cv2.error:
            return "its decoder gives up"

    def look_all(self, paths: Sequence[Path], jobs: int, watch: Watch) -> Iterator[tuple[Path, Seen | str]]:
        """Looks at files in processes of their own: one that crashes its decoder costs itself alone.

        Args:
            paths: files, and folders of frames.
            jobs: processes.
            watch: told of the progress.
        """
        remaining, done, pool = iter(paths), 0, self._pool(jobs)
        try:
            while batch := list(islice(remaining, _AT_ONCE * jobs)):
                found = self._together(batch, pool)
                if len(found) < len(batch):
                    pool.shutdown()
                    found |= self._one_by_one([path for path in batch if path not in found])
                    pool = self._pool(jobs)
                for path in batch:
                    done += 1
                    watch(done, len(paths))
                    yield path, found[path]
        finally:
            pool.shutdown(cancel_futures=True)

    def _together(self, batch: Sequence[Path], pool: ProcessPoolExecutor) -> dict[Path, Seen | str]:
        """What files show: up to the one that takes the pool with it, if there is one."""
        futures: dict[Path, Future[Seen | str]] = {}
        found: dict[Path, Seen | str] = {}
        with suppress(BrokenProcessPool):
            for path in batch:
                futures[path] = pool.submit(self.look, path)
            for path, future in futures.items():
                found[path] = future.result()
        return found

    def _one_by_one(self, paths: Sequence[Path]) -> dict[Path, Seen | str]:
        """What files show of which one or more crash their decoder, and nobody knows which."""
        found: dict[Path, Seen | str] = {}
        pool = self._pool(1)
        for path in paths:
            try:
                found[path] = pool.submit(self.look, path).result()
            except BrokenProcessPool:
                found[path] = "it crashes its decoder"
                pool.shutdown()
                pool = self._pool(1)
        pool.shutdown()
        return found

    def _pool(self, jobs: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(jobs, _context(), cv2.setNumThreads, (1,))


def _context() -> multiprocessing.context.BaseContext:
    """Processes that begin with all modules loaded, so that a few files do not wait a second for each of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _seen(file: Path) -> Seen:
    with EncodedClip.read(file) as clip:
        scan = Scan(clip, LIMITS)
        if next(iter(scan), None) is None:
            raise nothing_decoded(scan.header)
        frame, header = scan.retrieve(), scan.header
        # Dropped before the descriptor is closed, from which it reads.
        del scan
    with file.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    return Seen(file, content, header.duration_s, frame.shape[1], frame.shape[0], header.fps)
