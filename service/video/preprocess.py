"""From a decoded frame to the pictures that encoders read.

Training and serving call the same functions: training only chooses other views. A view flips the frame before anything
is made of it, so that its flow is flipped too, sign included, without anybody having to think of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from service.video.spec import Flow, PictureSpec

Frame = NDArray[np.uint8]
"""A decoded frame as OpenCV gives it: uint8 [H, W, 3], BGR."""

Picture = NDArray[np.uint8]
"""What an encoder reads: uint8 [size, size, 3]."""

# Pictures are square, so a frame is squeezed. Between these bounds (width / height) all of it is kept; beyond them its
# middle is cropped, so that a phone's upright clip is not squeezed far harder than what the model was trained on.
_NARROWEST, _WIDEST = 1.0, 4 / 3

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a frame in pixels: rows [top, bottom), columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def middle(cls, height: int, width: int) -> Box:
        """The part of a frame that serving looks at: all of it, unless it is very wide or upright."""
        kept_width = min(width, round(height * _WIDEST))
        kept_height = min(height, round(width / _NARROWEST))
        top, left = (height - kept_height) // 2, (width - kept_width) // 2
        return cls(top, top + kept_height, left, left + kept_width)


@dataclass(frozen=True, slots=True)
class View:
    """Which part of every frame of a clip is looked at, and whether in a mirror; the default is what serving looks at.

    Attributes:
        height, width: the part's sides, as fractions of the box that serving looks at, in (0, 1].
        y, x: where the part lies in that box, from 0 (top, left) to 1 (bottom, right).
        mirrored: whether left and right are swapped.
    """

    height: float = 1.0
    width: float = 1.0
    y: float = 0.5
    x: float = 0.5
    mirrored: bool = False

    def of(self, frame: Frame) -> Sight:
        """What is seen of a frame."""
        box = Box.middle(*frame.shape[:2])
        rows, columns = box.bottom - box.top, box.right - box.left
        kept_rows, kept_columns = max(1, round(rows * self.height)), max(1, round(columns * self.width))
        top = box.top + round((rows - kept_rows) * self.y)
        left = box.left + round((columns - kept_columns) * self.x)
        part = Box(top, top + kept_rows, left, left + kept_columns)
        return Sight(np.ascontiguousarray(frame[:, ::-1]) if self.mirrored else frame, part)


SERVED = View()
"""The view that serving has of every clip."""


class Sight:
    """The part of a frame that is looked at, squeezed once for all the pictures that are made of it.

    Attributes:
        frame: the frame, mirrored if the view is.
        box: the part of it.
    """

    def __init__(self, frame: Frame, box: Box) -> None:
        self.frame = frame
        self.box = box
        self._squeezed: dict[int, Frame] = {}

    def squeezed(self, size: int) -> Frame:
        """The part as a square of `size` pixels, BGR still."""
        if size not in self._squeezed:
            self._squeezed[size] = resize(self.frame, self.box, size)
        return self._squeezed[size]


def resize(frame: Frame, box: Box, size: int) -> Frame:
    """Squeezes a part of a frame into a square of `size` pixels, BGR still."""
    part = frame[box.top : box.bottom, box.left : box.right]
    shrinks = part.shape[0] >= size and part.shape[1] >= size
    # INTER_AREA averages what it drops, INTER_LINEAR would skip it and alias.
    resized = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


class PictureMaker(Protocol):
    """Makes the pictures of one kind of evidence from the frames of one window, in order of time."""

    def make(self, sight: Sight) -> Picture:
        """The picture of what is seen.

        Raises:
            ValueError: the picture shows a change, and no frame came before.
        """

    def look(self, sight: Sight) -> None:
        """Takes note of something of which no picture is wanted."""


class RgbMaker:
    """The frame itself, RGB."""

    def __init__(self, size: int) -> None:
        self._size = size

    def make(self, sight: Sight) -> Picture:
        return np.asarray(cv2.cvtColor(sight.squeezed(self._size), cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def look(self, sight: Sight) -> None:
        """A frame's picture depends on no other frame."""


class FlowMaker:
    """The optical flow from the frame before to this one, as a picture of (u, v, magnitude).

    Flow is DIS (Kroeger et al., *Fast Optical Flow using Dense Inverse Search*, ECCV 2016) on grey frames of
    `flow.size` pixels. u and v are scaled around 128 and the magnitude from 0, in grey levels a pixel, and clipped.

    Attributes:
        before: the grey frame that flow starts from, uint8 [flow.size, flow.size]; None before the first.
    """

    def __init__(self, size: int, flow: Flow) -> None:
        self._size = size
        self._flow = flow
        self._dis = cv2.DISOpticalFlow.create(_PRESETS[flow.preset])
        self.before: Frame | None = None

    def _grey(self, sight: Sight) -> Frame:
        return np.asarray(cv2.cvtColor(sight.squeezed(self._flow.size), cv2.COLOR_BGR2GRAY), dtype=np.uint8)

    def make(self, sight: Sight) -> Picture:
        before, self.before = self.before, self._grey(sight)
        if before is None:
            raise ValueError("flow is measured between two frames, and this is the first")
        displacement = self._dis.calc(before, self.before, None)  # type: ignore[call-overload]  # float32 [H, W, 2]
        u, v = cv2.split(displacement)
        # OpenCV rounds and clips to 0-255 on its way to eight bits.
        bands = cv2.merge(
            [
                cv2.addWeighted(u, self._flow.scale, u, 0, 128, dtype=cv2.CV_8U),
                cv2.addWeighted(v, self._flow.scale, v, 0, 128, dtype=cv2.CV_8U),
                cv2.convertScaleAbs(cv2.magnitude(u, v), alpha=self._flow.magnitude_scale),
            ]
        )
        levels = np.asarray(bands, dtype=np.uint8)
        whole = Box(0, levels.shape[0], 0, levels.shape[1])
        return levels if levels.shape[0] == self._size else resize(levels, whole, self._size)

    def look(self, sight: Sight) -> None:
        self.before = self._grey(sight)

    def still(self) -> Picture:
        """The picture of a frame that is seen a second time: where nothing has moved, DIS finds exactly nothing."""
        return np.full((self._size, self._size, 3), (128, 128, 0), dtype=np.uint8)


def maker(spec: PictureSpec) -> PictureMaker:
    """The maker of the pictures that `spec` describes, for one window."""
    return RgbMaker(spec.size) if spec.flow is None else FlowMaker(spec.size, spec.flow)
