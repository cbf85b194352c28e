"""The page of `kinema explore` in a real browser, opened from disk, without a network."""

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from model import cli
from service.inference.card import Sampling
from tests.browser.offline import offline
from tests.browser.test_docs import CHROMIUM
from tests.head_bundles import make_bundle
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need
from tests.samples import CLIPS


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
    with offline(scheme, 420) as seen:
        page = seen.page
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
    assert not seen.faults
    assert [url for url in seen.asked if not url.startswith("data:")] == [path.as_uri() for path in pages]
