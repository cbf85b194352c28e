"""The page /docs in a real browser, without a network."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from tests.require import need
from tests.samples import CLIPS
from tests.server import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def test_a_clip_is_tried_out_on_the_page_without_a_network(server: Server, tmp_path: Path) -> None:
    need("browser", CHROMIUM is not None, "Chromium has to be installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"{server.url}/docs")
            operation = page.locator("#operations-predict-predict_predict_post")
            operation.locator(".opblock-summary").click()
            operation.get_by_role("button", name="Try it out").click()
            operation.locator('input[type="file"]').set_input_files(CLIPS / "real-golf.mp4")
            operation.get_by_role("button", name="Execute").click()
            live = operation.locator(".live-responses-table")
            answer = live.locator(".response-col_description .microlight").first
            answer.wait_for()
            assert live.locator(".response-col_status").nth(1).inner_text().split()[0] == "200"
            assert '"golf"' in answer.inner_text()
            page.screenshot(path=tmp_path / "docs.png", full_page=True)
        finally:
            browser.close()
    outside = {url for url in asked if urlsplit(url).hostname not in {"127.0.0.1", None}}
    assert not outside
