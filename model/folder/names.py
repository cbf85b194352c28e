"""What names of clips tell of the videos that they were cut from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Literal

Told = list[str | None]
"""The source of each clip; None where its name tells none."""


@dataclass(frozen=True)
class Named:
    """A clip by its name alone.

    Attributes:
        name: its path from the root, with `/`.
        label: its class.
    """

    name: str
    label: str

    @property
    def stem(self) -> str:
        """The name of the file without its ending."""
        return _ENDING.sub("", PurePosixPath(self.name).name)


# Not `PurePath.stem`, which would take a part of a folder's name for an ending.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


@dataclass(frozen=True)
class Pattern:
    """A way of naming clips.

    Attributes:
        by: its name.
        sure: whether it is a convention that is known, or only looks like one.
        says: what it takes for a source, in words.
        of: the sources of clips.
    """

    by: str
    sure: Literal["likely", "guessed"]
    says: str
    of: Callable[[Sequence[Named]], Told]


def _each(tell: Callable[[Named], str | None]) -> Callable[[Sequence[Named]], Told]:
    return lambda clips: [tell(clip) for clip in clips]


_HMDB = re.compile(r"(.+)_[uflh]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:bad|med|goo)_\d+")
_UCF = re.compile(r"v_(.+)_g(\d+)_c\d+")
_KTH = re.compile(r"(person\d+)_.+_d\d(?:_uncomp)?")
_KINETICS = re.compile(r"([\w-]{11})_\d{6}_\d{6}")


def _hmdb(clip: Named) -> str | None:
    match = _HMDB.fullmatch(clip.stem)
    if match is None:
        return None
    source, label = match[1], re.sub(r"\W+", "_", clip.label)
    if source.lower().endswith(f"_{label}".lower()):
        return source[: -len(label) - 1]
    return source.rpartition("_")[0] or source


def _ucf(clip: Named) -> str | None:
    match = _UCF.fullmatch(clip.stem)
    return f"{match[1]}/g{match[2]}" if match else None


def _first(pattern: re.Pattern[str]) -> Callable[[Named], str | None]:
    def tell(clip: Named) -> str | None:
        match = pattern.fullmatch(clip.stem)
        return match[1] if match else None

    return tell


def _person(clip: Named) -> str | None:
    """Of `daria_bend` or `lena_run2` what stands before the class, of `run_daria_03` what stands behind it."""
    label = r"[\W_]*".join(map(re.escape, re.findall(r"[^\W_]+", clip.label)))
    match = re.fullmatch(rf"(?:(.*?)[\W_]+)?{label}[\W_]*(\d*)", clip.stem, re.IGNORECASE)
    if label and match:
        return match[1] or None
    match = re.fullmatch(rf"{label}[\W_]+(.*?)(?:[\W_]+\d+)?", clip.stem, re.IGNORECASE)
    return match[1] if label and match and not match[1].isdecimal() and match[1] else None


def _folder(clip: Named) -> str | None:
    parts = PurePosixPath(clip.name).parts[:-1]
    if clip.label not in parts:
        return None
    return "/".join(parts[parts.index(clip.label) + 1 :]) or None


_TIME = re.compile(
    r"(.*?)(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_ T.]*(?:at )?(\d\d)[-_.h:]?(\d\d)[-_.m:]?(\d\d)?(?!\d).*"
)


def _times(clips: Sequence[Named]) -> list[tuple[str, datetime] | None]:
    return [_time(clip) for clip in clips]


def _time(clip: Named) -> tuple[str, datetime] | None:
    match = _TIME.fullmatch(clip.stem)
    if match is None:
        return None
    try:
        return match[1], datetime(*(int(part or 0) for part in match.groups()[1:]))  # type: ignore[arg-type]
    except ValueError:
        return None


_PAUSE = timedelta(minutes=20)


def _sessions(clips: Sequence[Named]) -> Told:
    """Clips of one camera that follow each other without a longer pause."""
    times = _times(clips)
    order = sorted((time, place) for place, time in enumerate(times) if time is not None)
    told: Told = [None] * len(clips)
    session, before = "", ("", datetime.min)
    for (camera, time), place in order:
        if camera != before[0] or time - before[1] > _PAUSE:
            session = f"{camera}{time:%Y-%m-%d %H:%M:%S}"
        told[place], before = session, (camera, time)
    return told


def _days(clips: Sequence[Named]) -> Told:
    return [f"{time[0]}{time[1]:%Y-%m-%d}" if time else None for time in _times(clips)]


_PART = r"(?:part|clip|scene|segment|seg|shot|cut|take|pt|no|nr|c|p|s|t)?"
_NUMBERED = re.compile(rf"(.+?)(?:[\s_.-]+{_PART}[\s_.-]*\d+|[\s_.-]*\(\d+\)|[\s_.-]*#\d+)", re.IGNORECASE)
_SPANNED = re.compile(r"(.+?)[\s_.-]+\d+(?:\.\d+)?[\s_-]+\d+(?:\.\d+)?")
# What cameras and programs call every clip: numbers behind it tell clips apart, not parts of one.
_CAMERA = re.compile(
    r"(?:clips?|dsc[fn]?|export|frames?|gh|gopr?|gx|img|mov(?:ie)?|mvi|output|pxl|rec|recording|sample|scene|untitled|"
    r"vid(?:eos?)?|whatsapp video|\d*)[\s_.-]*",
    re.IGNORECASE,
)


def _numbered(clip: Named) -> str | None:
    match = _SPANNED.fullmatch(clip.stem) or _NUMBERED.fullmatch(clip.stem)
    return match[1] if match and not _CAMERA.fullmatch(match[1]) else None


PATTERNS = (
    Pattern("HMDB51", "likely", "what stands before the action in names like HMDB51's", _each(_hmdb)),
    Pattern("UCF101", "likely", "the group (g01, g02 and so on) of each class in names like UCF101's", _each(_ucf)),
    Pattern("KTH", "likely", "the person in names like KTH's", _each(_first(_KTH))),
    Pattern("Kinetics", "likely", "the video's id in names like Kinetics's", _each(_first(_KINETICS))),
    Pattern("sub-folders", "guessed", "the folder below the class's folder", _each(_folder)),
    Pattern("person and action", "guessed", "what stands beside the action in the name", _each(_person)),
    Pattern("sessions", "guessed", "clips taken within 20 minutes of each other, by the time in the name", _sessions),
    Pattern("days", "guessed", "the day in the name", _days),
    Pattern("numbered names", "guessed", "the name without the number at its end", _each(_numbered)),
)
