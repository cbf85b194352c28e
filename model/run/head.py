"""The head that is kept, with its weights."""

from __future__ import annotations

import torch

from model.net.classifier import Classifier
from model.run.errors import RunError
from model.run.final import Final
from model.run.run import Run


def load_head(run: Run, final: Final) -> Classifier:
    """The head of a finished run, in evaluation mode.

    Raises:
        RunError: its weights are missing.
    """
    head = Classifier(final.config)
    try:
        head.load_state_dict(torch.load(run.head, weights_only=True))
    except OSError as error:
        raise RunError(f"{run.head} cannot be read: {error.strerror}", "`kinema train --resume` makes it.") from error
    except RuntimeError as error:
        raise RunError(f"{run.head} holds another network than this version trains", "Train it anew.") from error
    return head.eval()
