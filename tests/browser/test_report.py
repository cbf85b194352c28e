"""`report.html` of a tiny run in a real browser, opened from disk, without a network."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from model import cli
from tests.browser.offline import offline
from tests.browser.test_docs import CHROMIUM
from tests.model.clips import TINY, TORCH, WITHOUT_TORCH, write_dataset
from tests.require import need


def _page(directory: Path) -> Path:
    """The report of a run by its folds, with mistakes to show."""
    from model.run.run import Run

    app = typer.Typer()
    for command in (cli.train, cli.evaluate):
        app.command()(command)
    data, run, recipe = write_dataset(directory), directory / '<img src="x">', directory / "recipe.json"
    recipe.write_text(TINY.model_dump_json())
    quick = ("--head", "mean", "--no-baselines", "--views", "1", "--seeds", "1", "--epochs", "2")
    options = ("--recipe", str(recipe), "--cache", str(directory / "cache"), *quick)
    done = CliRunner().invoke(app, ["train", str(data), "-o", str(run), *options])
    assert done.exit_code == 0, done.output
    kept = Run.open(run)
    for trial in kept.trials():
        mistaken = tuple(tuple(reversed(row)) for row in trial.logits)
        kept.keep(trial.model_copy(update={"logits": mistaken}) if trial.fold else trial)
    assert CliRunner().invoke(app, ["evaluate", str(run), "-o", str(directory / "told")]).exit_code == 0
    return directory / "told" / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("browser", CHROMIUM is not None, "Chromium has to be installed")
    need("train", TORCH, WITHOUT_TORCH)
    return _page(tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 420), ("dark", 1200)])
def test_a_report_needs_nothing_but_itself(scheme: str, width: int, report: Path, tmp_path: Path) -> None:
    with offline(scheme, width) as seen:
        page = seen.page
        page.goto(report.as_uri())
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        sizes = page.evaluate("Promise.all([...document.images].map(one => one.decode().then(() => one.naturalWidth)))")
        assert len(sizes) >= 3  # confusion, reliability, and at least one clip that was mistaken
        assert min(sizes) > 0
        assert page.evaluate("[...document.images].every(one => one.alt)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("h1").count() == 1
        assert page.locator("h1").inner_text().endswith("% right")
        assert page.locator(".kicker").inner_text() == '<img src="x">'
        assert page.locator(".mistakes li").count() > 0
        page.emulate_media(media="print")
        page.screenshot(path=tmp_path / "print.png", full_page=True)
    assert not seen.faults
    assert [url for url in seen.asked if not url.startswith("data:")] == [report.as_uri()]
