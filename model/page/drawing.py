"""What all drawings have in common: colours, labels, and how they get onto a page.

Colours are see-through where there is nothing to see: the pictures go on light paper and on dark.
"""

from __future__ import annotations

import base64
import io
import re
import warnings

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from service.video.preprocess import Picture

INK, GREY = "#1d2433", "#8a94a6"
BLUE, ORANGE = "#3b7dd8", "#e0812b"
_LONGEST = 22


def _fading(name: str, *colours: tuple[float, str, float]) -> Colormap:
    """Colours of a place from 0 to 1, a colour and how much of it covers what is below."""
    stops = [(place, mpl.colors.to_rgba(colour, cover)) for place, colour, cover in colours]
    return LinearSegmentedColormap.from_list(name, stops)


OPENING = _fading("opening", (0, BLUE, 0.03), (1, BLUE, 1))
SIGNED = _fading("signed", (0, BLUE, 1), (0.5, BLUE, 0), (0.5, ORANGE, 0), (1, ORANGE, 1))


def jpeg(picture: Picture, width: int) -> str:
    """A picture, uint8 [H, W, 3], made smaller if it is wider than `width`, as the URI of a JPEG."""
    if picture.shape[1] > width:
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return _uri("image/jpeg", data.tobytes())


def svg(figure: Figure) -> str:
    """A figure as the URI of an SVG whose ink is dark on light paper and light on dark."""
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kinema"}), warnings.catch_warnings():
        # Whoever looks at the page has fonts of his own.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    style = f"<style>:root{{color:{INK}}}@media(prefers-color-scheme:dark){{:root{{color:#dde3ee}}}}</style>"
    text = drawn.getvalue().replace(INK, "currentColor")
    text = re.sub(r"<\?xml.*?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _uri("image/svg+xml", re.sub(r"(<svg[^>]*>)", rf"\1{style}", text, count=1).strip().encode())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def plain(label: str) -> str:
    """A label as matplotlib is to write it, cut where it is long."""
    # A `$` would begin a formula.
    short = label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"
    return short.replace("_", " ").replace("$", r"\$")


def bare(axes: Axes) -> None:
    """Takes the frame from around a panel."""
    axes.tick_params(length=0, colors=INK, labelsize=8)
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
