"""Debian's Chromium, headless, for tests that look at the page as a trader would."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return the browser's path; without one the test fails in CI and is skipped elsewhere."""
    path = shutil.which("chromium")
    if path is not None:
        return path
    reason = "no chromium on the PATH: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def a_page(timeout_s: float = 20.0) -> Iterator[Page]:
    """Open an empty page in a browser of its own; afterwards fail if a script of the page failed or was refused."""
    failures: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            failures.append(message.text)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(_QUIET))
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(timeout_s * 1000)
            expect.set_options(timeout=timeout_s * 1000)
            page.on("pageerror", lambda error: failures.append(str(error)))
            page.on("console", note)
            yield page
        finally:
            browser.close()
    assert not failures, failures
