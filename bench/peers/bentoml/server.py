"""BentoML: a worker process a core, each with graphs of one thread, one clip at a time.

Its adaptive batching would put whole clips together in one worker, which brings nothing on a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml
import cv2

from bench.peers import work


@bentoml.service(workers=work.cores(), traffic={"timeout": 300})
class Actions:
    """The service."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self.work = work.from_environment(threads=1)

    @bentoml.api
    def predict(self, clip: Path) -> dict[str, Any]:
        """Answers one clip, which BentoML has put into a file."""
        return self.work.answer(clip.read_bytes())
