"""Where the files are that a list names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from model.folder.candidate import VIDEOS, hidden, kind


class Places:
    """Finds files by what a list calls them: by their path, with a video's ending, below their class, by their name.

    Args:
        roots: the directories that paths may start from, the likeliest first.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots

    def find(self, written: str, label: str = "") -> Path | None:
        """The file or folder meant; None where there is none, or where several have its name.

        Args:
            written: as the list has it.
            label: the class, below which it may lie.
        """
        written = written.replace("\\", "/")
        if not written or "\0" in written:
            return None
        for root in self.roots:
            for path in (root / written, root / label / written):
                if path.exists():
                    return path
        return self._by_name(written, label)

    def _by_name(self, written: str, label: str) -> Path | None:
        name = PurePosixPath(written).name
        found = self._files.get(name) or self._stems.get(name) or []
        among_label = [path for path in found if path.parent.name == label]
        found = among_label if len(found) > 1 and among_label else found
        return found[0] if len(found) == 1 else None

    @cached_property
    def _files(self) -> Mapping[str, list[Path]]:
        files: defaultdict[str, list[Path]] = defaultdict(list)
        for root in self.roots[:1]:
            for path, folders, names in os.walk(root):
                folders[:] = [name for name in folders if not hidden(name)]
                for name in names:
                    if kind(Path(name)) in VIDEOS and not hidden(name):
                        files[name].append(Path(path, name))
        return dict(files)

    @cached_property
    def _stems(self) -> Mapping[str, list[Path]]:
        stems: defaultdict[str, list[Path]] = defaultdict(list)
        for name, paths in self._files.items():
            stems[Path(name).stem] += paths
        return dict(stems)

    def starting(self, stem: str) -> Sequence[Path]:
        """Videos whose name, without its ending, is this."""
        return self._stems.get(stem, [])
