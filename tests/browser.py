"""The demo in a headless chromium: `python -m tests.browser MODEL PICTURE` pictures it."""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.warm import WarmProcess, start

# Reports every address that the server connects to or looks up.
WATCHED = """
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open({log!r}, "a") as log:
            print(event, arguments[1:] if event == "socket.connect" else arguments[:1], file=log)
sys.addaudithook(hook)
from framemix.cli import main
main()
"""


def chromium() -> str | None:
    """Return Debian's chromium, or the browser of that name."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextmanager
def launched(*arguments: str) -> Iterator[Any]:
    """Yield a browser; skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = chromium()
    if executable is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        args = ["--no-sandbox", *arguments]
        browser = driver.chromium.launch(executable_path=executable, args=args)
        yield browser
        browser.close()


@contextmanager
def served(folder: Path, model: Path, *arguments: object, **env: str) -> Iterator[str]:
    """Serve the demo; yield its address. `folder` gets connections.txt, and tmp with uploads.

    It is ended as a system does that shuts down.
    """
    (folder / "tmp").mkdir(exist_ok=True)
    code = WATCHED.format(log=str(folder / "connections.txt"))
    server = start(
        ["-c", code, "demo", str(model), "--port", "0", *map(str, arguments)],
        env={**os.environ, "TMPDIR": str(folder / "tmp"), **env},
    )
    try:
        yield _address_of(server)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            ended = server.wait(timeout=60)
        finally:
            server.send_signal(signal.SIGKILL)
    assert ended == 128 + signal.SIGTERM


def _address_of(server: WarmProcess) -> str:
    """Wait until the server says where it serves."""
    while not (found := re.search(r"at (http://\S+);", server.written())):
        assert server.poll() is None, server.communicate()
        time.sleep(0.05)
    return found.group(1)


class Visit:
    """A page of the demo, with the addresses that it asked for and what it complained of."""

    def __init__(self, context: Any, address: str, width: int = 1200) -> None:
        self.page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": 1000})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", self._heard)
        self.page.goto(address)
        self.page.get_by_text("Research code").wait_for(timeout=60_000)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def drop(self, file: Path) -> None:
        """Drop a file on the page as a mouse would."""
        transfer = self.page.evaluate_handle(
            """async ([name, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name));
                return transfer;
            }""",
            [file.name, list(file.read_bytes())],
        )
        target = self.page.locator("#video button").first
        for event in ("dragenter", "dragover", "drop"):
            target.dispatch_event(event, {"dataTransfer": transfer})

    def remove_file(self) -> None:
        """Make room for another file."""
        video = self.page.locator("#video")
        video.get_by_label("Remove this file").or_(video.get_by_label("Clear")).first.click()

    def says(self, text: str) -> None:
        """Wait until the page's message has this text."""
        self.page.locator("#message").get_by_text(text).first.wait_for(timeout=60_000)

    def pictures(self) -> list[str]:
        """Wait for the three pictures; return their addresses."""
        shown = []
        for name in ("timeline", "mixed", "attention"):
            picture = self.page.locator(f"#{name} img").first
            picture.wait_for(timeout=30_000)
            shown.append(picture.get_attribute("src"))
        return shown


def main(model: Path, picture: Path) -> None:
    """Click the last clip that is offered and take a picture of the answer."""
    import tempfile

    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with served(Path(folder), model) as address:
            visit = Visit(browser, address, width=1000)
            visit.page.get_by_role("button", name="/").last.click()
            visit.pictures()
            visit.page.wait_for_timeout(1000)
            visit.page.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
