"""What may be a clip, before its file has been looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.data.dataset import NO_FOLD

_VIDEOS = """
    3g2 3gp asf avi divx dv f4v flv gif m2t m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg mpv mts mxf ogm ogv rm rmvb
    ts vob webm wmv y4m
"""
_PICTURES = "avif bmp heic heif jfif jpe jpeg jpg pgm png ppm tif tiff webp"
# What lies beside clips and is none: notes, tables, features, subtitles, thumbnails and previews of cameras.
_SIDECARS = """
    ass cfg csv db doc docx h5 hdf5 html idx info ini json jsonl lnk lock log lrf lrv m3u m3u8 mat md md5 nfo npy npz
    parquet part pkl pt pth py rst sha1 sha256 sh srt ssa sub thm tmp torrent tsv txt url vtt xlsx xml yaml yml
"""
VIDEOS, PICTURES, SIDECARS = (frozenset(endings.split()) for endings in (_VIDEOS, _PICTURES, _SIDECARS))
_UNSEEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"})


def hidden(name: str) -> bool:
    """Whether a file or directory of that name is a system's own and none of the user's."""
    return name.startswith((".", "~$")) or name.lower() in _UNSEEN


def kind(path: Path) -> str:
    """The ending of a file's name, in lower case and without its dot."""
    return path.suffix.lower().removeprefix(".")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used, and why, in words."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be a clip.

    Attributes:
        path: a file, or a folder whose pictures are the clip's frames.
        name: how whoever made the data calls it.
        label: the action shown in it.
        source: the video that it was cut from, where that is stated.
        fold: `NO_FOLD` where none is stated.
        start_s, end_s: the labelled span of the file.
        split: `train`, `val`, `test` or nothing.
        cut: the span may have been cut out already, so that the file is the span; its duration tells.
    """

    path: Path
    name: str
    label: str
    source: str = ""
    fold: int = NO_FOLD
    start_s: float = 0.0
    end_s: float | None = None
    split: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Listing:
    """Candidates, and how they were found.

    Attributes:
        layout: how they lie, one sentence.
        candidates: in order.
        skipped: files that cannot be clips.
        notes: what else is worth saying.
    """

    layout: str
    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


_SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def split_named(word: str) -> str:
    """`train`, `val` or `test` for the words that people use for them; nothing for any other."""
    return _SPLITS.get(word.strip().lower(), "")
