"""A page in a real browser that has no network, and what it asked for and complained of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, sync_playwright

from tests.browser.test_docs import CHROMIUM, FLAGS


@dataclass
class Offline:
    """The page; its faults, which are errors and requests that failed; and the addresses that it asked for."""

    page: Page
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def offline(scheme: str, width: int) -> Iterator[Offline]:
    """Opens a browser in light or dark, with a window of so many pixels."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
            seen = Offline(context.new_page())
            seen.page.on("console", lambda message: seen.faults.append(message.text))
            seen.page.on("pageerror", lambda error: seen.faults.append(str(error)))
            seen.page.on("requestfailed", lambda request: seen.faults.append(request.url))
            seen.page.on("request", lambda request: seen.asked.append(request.url))
            yield seen
        finally:
            browser.close()
