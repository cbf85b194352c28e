"""What would make a folder of clips better to learn from, in sentences."""

from __future__ import annotations

from model.folder.gather import Found
from model.folder.sources import Sources


def advise(found: Found, sources: Sources, window_s: float) -> tuple[str, ...]:
    """Sentences, the most important first; none where nothing is amiss.

    Args:
        found: the clips.
        sources: what each was cut from.
        window_s: seconds that the model looks at in one window.
    """
    raise NotImplementedError
