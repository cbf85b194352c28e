"""Clips with the same content: contradictions, and copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from model.folder.candidate import Candidate, Skipped
from model.folder.look import Seen
from model.folder.words import count

# Of copies in several parts of a split, the one that accuracy is measured on stays: dropping it from what is trained
# on mends the leak and leaves the test as it was.
_ORDER = {"test": 0, "val": 1, "train": 2, "": 2}

Looked = tuple[Candidate, Seen]


def without_copies(looked: Sequence[Looked]) -> tuple[list[Looked], list[Skipped], list[str]]:
    """Keeps each content once, and none that has two labels.

    Returns:
        what is kept, in its order; what is not, with the reason; sentences about both.
    """
    alike: defaultdict[tuple[str, float, float | None], list[Looked]] = defaultdict(list)
    for one in looked:
        alike[one[1].content, one[0].start_s, one[0].end_s].append(one)
    kept, skipped = dict[int, Looked](), list[Skipped]()
    places = {id(one): place for place, one in enumerate(looked)}
    contradicted, copies, leaks = 0, 0, 0
    for same in alike.values():
        first, *others = sorted(same, key=lambda one: _ORDER[one[0].split])
        labels = {one.label: one for one, _ in same}
        if len(labels) > 1:
            contradicted += len(same)
            skipped += [_contradiction(one, labels) for one, _ in same]
            continue
        kept[places[id(first)]] = first
        copies += len(others)
        leaks += sum(one.split != first[0].split for one, _ in others)
        skipped += [Skipped(one.path, f"it is the same as {first[0].name}, byte for byte") for one, _ in others]
    return [kept[place] for place in sorted(kept)], skipped, _notes(contradicted, copies, leaks)


def _contradiction(one: Candidate, labels: dict[str, Candidate]) -> Skipped:
    other = next(other for label, other in labels.items() if label != one.label)
    return Skipped(
        one.path, f"a contradiction: it is labelled {one.label}, and {other.name} with the same content {other.label}"
    )


def _notes(contradicted: int, copies: int, leaks: int) -> list[str]:
    notes = []
    if contradicted:
        notes.append(f"{count(contradicted, 'clip')} with the same content under two labels: none of them is used")
    if copies:
        across = f"; {leaks} of them lay on both sides of your split, and the one to test on is kept" if leaks else ""
        notes.append(f"{count(copies, 'clip')} left out as {'copies' if copies > 1 else 'a copy'} of another{across}")
    return notes
