"""The report's page says what is known, in words that are escaped, and leaves out what is not."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.inference.card import Abstention, Strangers
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

if TORCH or TYPE_CHECKING:
    from model.data.dataset import Clip
    from model.metrics.judgement import Judgement
    from model.report.facts import DataFacts, ReportFacts
    from model.report.page import render
    from model.run.held_out import HeldOut

ABSTENTION = Abstention(
    output="familiarity",
    score="how like others it is",
    threshold=-3.21,
    false_alarms=0.045,
    accuracy_cost=1.25,
    clips=40,
    split="none",
    strangers=(Strangers(name="<b>others</b>", clips=90, auroc=0.912, rejected=0.5),),
)


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def facts(**more: object) -> "ReportFacts":
    """Of four clips, of which three are right."""
    clips = tuple(Clip(Path(f"{label}/{number}.avi"), label, f"{number}", 0) for number, label in enumerate("aabb"))
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    judgement = Judgement(("a", "b"), clips, np.arange(4), logits)
    return ReportFacts("mine", judgement, "Split by <hand>.", **more)  # type: ignore[arg-type]


def test_a_page_of_what_is_needed_leaves_the_rest_out() -> None:
    page = render(facts())
    assert "<h1>75.0 % right</h1>" in page
    assert "Split by &lt;hand&gt;." in page
    for left_out in ("What was found", "does not know", "keeps out", "How long it took", "What was chosen"):
        assert left_out not in page


@pytest.fixture(scope="module")
def page() -> str:
    """A page of all that may be known."""
    need("train", TORCH, WITHOUT_TORCH)
    skipped = ((Path("in/a&b.avi"), "no video"),)
    held_out = HeldOut(logits=((1.0, 0.0),) * 4, right=3, mean_right=2)
    found = DataFacts("Found <it>.", "By name.", skipped, ("Film more.",))
    return render(facts(found=found, held_out=held_out.sentence, abstention=ABSTENTION, took_s={"all": 2.0}))


def test_a_page_tells_when_the_model_abstains_and_how_well_strangers_are_told(page: str) -> None:
    assert "below -3.21" in page
    assert "4.5 % are" in page
    assert "1.2 points of accuracy" in page
    assert "&lt;b&gt;others&lt;/b&gt;: 50.0 % of 90 clips that show something else are rejected (AUROC 0.912" in page


def test_a_page_tells_of_clips_that_are_kept_out(page: str) -> None:
    assert "Of the 4 clips that your split keeps out, 75.0 % are right" in page
    assert "the mean-pooled head 50.0 %" in page


def test_a_page_lists_what_was_left_out_and_what_would_help(page: str) -> None:
    assert "Found &lt;it&gt;." in page
    assert "<code>in/a&amp;b.avi</code>: no video" in page
    assert "1 file was left out" in page
    assert "<li>Film more.</li>" in page
