"""The few pieces of HTML that pages are made of: that of `kinema explore`, and reports.

What comes from a clip, a card or a path becomes HTML by `text` or `label`. Where nothing else is said, arguments are
HTML already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

_CSS = Path(__file__).with_name("page.css")
_TYPED = re.compile("`([^`]+)`")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, parts: Iterable[str]) -> str:
    """A page with everything inline, no script, no request; the title is HTML already.

    The policy in its head keeps it from asking for anything, were a name not escaped that should have been.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>\n{_CSS.read_text(encoding='utf-8')}</style>\n"
        "</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def text(value: str) -> str:
    """Whatever it is, as words."""
    return escape(value, quote=True)


def prose(sentence: str) -> str:
    """A sentence of a program's, in which what stands between `backticks` is to be typed."""
    return _TYPED.sub(r"<code>\1</code>", text(sentence))


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
        scope = ' scope="col"' if tag == "th" else ""
        kinds = (scope + (' class="number"' if 0 < place <= numbers else "") for place in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    head = f"<tr>{cells('th', header)}</tr>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table>{head}{body}</table></div>\n'


def items(sentences: Iterable[str]) -> str:
    """A list of sentences; of none, nothing."""
    lines = "".join(f"<li>{one}</li>" for one in sentences)
    return f"<ul>{lines}</ul>\n" if lines else ""


def folded(summary: str, content: str) -> str:
    """What is shown on request."""
    return f'<details class="more"><summary>{summary}</summary>\n{content}</details>\n'


def figure(uri: str, alt: str, caption: str = "", kind: str = "") -> str:
    """A drawing; `alt` is not HTML yet. `kind` is a class of the style sheet."""
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    of = f' class="{kind}"' if kind else ""
    return f'<figure{of}><img src="{uri}" alt="{text(alt)}">{told}</figure>\n'


def bars(scores: Iterable[tuple[str, float, str]]) -> str:
    """A bar for each label, as long as its score and with that in words, best first; the labels are not HTML yet."""
    lines = []
    for place, (name, score, words) in enumerate(scores):
        kind = "other" if place else "best"
        bar = f'<i class="{kind}" style="width:{100 * score:.1f}%"></i>'
        lines.append(f"<span>{label(name)}</span>{bar}<b>{words}</b>")
    return f'<div class="bars">{"".join(lines)}</div>\n'
