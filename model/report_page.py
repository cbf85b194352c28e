"""`report.html`: what was found in the data, how good the model is, and where it errs, on one page that needs nothing."""

from __future__ import annotations

from pathlib import Path

from model.report_facts import Abstention, Candidate, Found, ReportFacts

__all__ = ["Abstention", "Candidate", "Found", "ReportFacts", "write_report"]


def write_report(path: Path, facts: ReportFacts) -> None:
    """Writes the page.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text("", encoding="utf-8")
