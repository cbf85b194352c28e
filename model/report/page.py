"""`report.html`: what was found in the data, how good the model is and where it errs, on a page that needs nothing."""

from __future__ import annotations

from pathlib import Path

from model.page.markup import document, text
from model.report import sections
from model.report.facts import ReportFacts


def write_report(path: Path, facts: ReportFacts) -> None:
    """Writes the page. It decodes the clips of the worst mistakes, at most 24.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text(render(facts), encoding="utf-8", errors="replace")


def render(facts: ReportFacts) -> str:
    """The page, as HTML."""
    parts = [
        f'<main>\n<p class="kicker">{text(facts.title)}</p>',
        sections.headline(facts),
        sections.found(facts),
        sections.actions(facts),
        sections.confusion(facts),
        sections.sureness(facts),
        sections.mistakes(facts),
        sections.choice(facts),
        sections.took(facts),
        "</main>\n<footer>Written by Kinema. It asks for nothing from anywhere.</footer>",
    ]
    right = f"{100 * facts.judgement.accuracy:.1f} % right"
    return document(f"{text(facts.title)}: {right}", parts)
