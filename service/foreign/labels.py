"""Labels from a text file."""

from __future__ import annotations

from pathlib import Path

from service.errors import ImportRefused


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of a UTF-8 file, one a line, in the order of the graph's outputs.

    Raises:
        ImportRefused: the file cannot be read, a line is blank, a label comes twice, or there are fewer than two.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{path} is no text in UTF-8: {error.reason}", "Save it as UTF-8.") from error
    # Not `splitlines`, which also cuts where a label has a character that looks like a space.
    labels = tuple(line.strip() for line in text.split("\n")) if text else ()
    first: dict[str, int] = {}
    faults: list[str] = []
    for number, label in enumerate(labels, start=1):
        if not label:
            faults.append(f"line {number} is blank")
        elif not label.isprintable():
            faults.append(f"line {number} has characters that cannot be printed")
        elif label in first:
            faults.append(f"line {number} repeats {label!r} of line {first[label]}")
        first.setdefault(label, number)
    if faults:
        raise ImportRefused(f"{path}: {'; '.join(faults)}", "Write one label a line, in the order of the outputs.")
    if len(labels) < 2:
        raise ImportRefused(f"{path} has {len(labels)} labels, and two are the least", "Write one label a line.")
    return labels
