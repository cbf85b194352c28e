"""The few pieces of HTML that the page of `kinema explore` is made of.

What comes from a clip, a card or a path becomes HTML by `text` or `label`. Where nothing else is said, arguments are
HTML already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def text(value: str) -> str:
    """Whatever it is, as words."""
    return escape(value, quote=True)


def label(name: str) -> str:
    """A label as people read it."""
    return text(name.replace("_", " "))


def number(value: float, unit: str = "") -> str:
    """Three digits of a number, and `more than 1000` of one that is very large."""
    return f"more than 1000{unit}" if value > 1000 else f"{value:.3g}{unit}"


def signed(value: float) -> str:
    """Two decimals, and a minus as long as a plus."""
    return f"{value:.2f}".replace("-", "&minus;")


def paragraphs(*sentences: str) -> str:
    """A paragraph of each; of one that is empty, none."""
    return "".join(f"<p>{one}</p>\n" for one in sentences if one)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table whose columns after the first are numbers, as many as said; it may do without a header."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="number"' if 0 < place <= numbers else "" for place in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    head = f"<tr>{cells('th', header)}</tr>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table>{head}{body}</table></div>\n'


def figure(uri: str, alt: str, caption: str = "") -> str:
    """A drawing; `alt` is not HTML yet."""
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure><img src="{uri}" alt="{text(alt)}">{told}</figure>\n'


def bars(scores: Iterable[tuple[str, float]]) -> str:
    """A bar for each label with its score, best first; the labels are not HTML yet."""
    lines = []
    for place, (name, score) in enumerate(scores):
        kind = "other" if place else "best"
        bar = f'<i class="{kind}" style="width:{100 * score:.1f}%"></i>'
        lines.append(f"<span>{label(name)}</span>{bar}<b>{score:.3f}</b>")
    return f'<div class="bars">{"".join(lines)}</div>\n'
