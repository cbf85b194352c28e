"""The page of `kinema explore` in a real browser, opened from disk, without a network."""

import shutil
from pathlib import Path

import pytest
import typer
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from model import cli
from service.inference.card import Sampling
from tests.browser.test_docs import CHROMIUM, FLAGS
from tests.head_bundles import make_bundle
from tests.require import need
from tests.samples import CLIPS
from tests.unit.model_clips import TORCH, WITHOUT_TORCH


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_needs_nothing_but_itself(scheme: str, tmp_path: Path) -> None:
    need("browser", CHROMIUM is not None, "Chromium has to be installed")
    need("train", TORCH, WITHOUT_TORCH)
    app = typer.Typer()
    app.command()(cli.explore)
    clip = shutil.copyfile(CLIPS / "real-golf.mp4", tmp_path / '<img src="x">.mp4')
    pages = []
    for head in ("spatial", "attention"):
        bundle = make_bundle(tmp_path, head, Sampling(num_clips=2, clip_len=5, fps=8))
        pages.append(tmp_path / f"{head}.html")
        assert CliRunner().invoke(app, [str(clip), "-m", str(bundle), "-o", str(pages[-1])]).exit_code == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": 420, "height": 900})  # type: ignore[arg-type]
            page = context.new_page()
            faults: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message: faults.append(message.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("requestfailed", lambda request: faults.append(request.url))
            page.on("request", lambda request: asked.append(request.url))
            for path in pages:
                page.goto(path.as_uri())
                page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
                sizes = page.evaluate(
                    "Promise.all([...document.images].map(one => one.decode().then(() => one.naturalWidth)))"
                )
                assert len(sizes) > 20
                assert min(sizes) > 0
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert '<img src="x">.mp4' in page.locator(".kicker").inner_text()
                page.screenshot(path=tmp_path / f"{path.stem}.png", full_page=True)
        finally:
            browser.close()
    assert not faults
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri() for path in pages]
