"""What a chain of post-processors tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """An action that began, goes on or has ended.

    Each is told when it begins, with `end_s` None, and again when it has ended. What names it is `processor`,
    `label_id` and `start_s`; these do not change. One that counts is told at each cycle, too.

    Attributes:
        processor: the name of the processor that found it.
        label: what is done.
        label_id: its index in the labels.
        start_s, end_s: [start_s, end_s) in seconds; `end_s` None while it goes on.
        peak: the highest score that the label has had, in [0, 1].
        count: cycles so far, where the processor counts.
    """

    processor: str
    label: str
    label_id: int
    start_s: float
    end_s: float | None
    peak: float
    count: int | None = None
