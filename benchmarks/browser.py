"""The same viewer in Chromium: from the stamp of a report until the page has drawn it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.servers import Target

_SCRIPT: Final = """
([path, subscribe]) => new Promise((greeted, failed) => {
  const bar = document.createElement("progress"), text = document.createElement("span");
  document.body.replaceChildren(bar, text);
  const nowUs = () => (performance.timeOrigin + performance.now()) * 1000;
  const delays_us = [], drawn_us = [];
  const socket = new WebSocket(`ws://${location.host}${path}`);
  window.finished = new Promise((finish) => {
    // The longest that a run may take to end after the last report: what is missing then shows in the count.
    window.giveUp = () => setTimeout(() => finish({ delays_us, drawn_us }), 15000);
    socket.onclose = () => { failed(new Error("the socket closed")); finish({ delays_us, drawn_us }); };
    setTimeout(() => failed(new Error("the server does not greet")), 15000);
    socket.onopen = () => { if (subscribe) socket.send(subscribe); };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type) {
        if (message.type === (subscribe ? "subscribed" : "connected")) greeted(true);
        return;
      }
      const { index, sent_wall_us } = message.metadata;
      if (message.status === "completed") return finish({ delays_us, drawn_us });
      bar.value = message.progress;
      text.textContent = message.message;
      if (index < 0) return;
      delays_us.push([index, nowUs() - sent_wall_us]);
      // A message queued behind the rendering of a frame: what is in the DOM now has been painted by then.
      requestAnimationFrame(() => setTimeout(() => drawn_us.push([index, nowUs() - sent_wall_us])));
    };
  });
})
"""

# The page's clock is the wall clock as it was when the page began, and a monotonic one since. Date.now() is the wall
# clock in whole milliseconds; at the moment in which it changes, the difference between the two is known to the 100 us
# of the page's clock. Where the loop was interrupted, the difference is too large: hence the lower quartile.
_CLOCK_ERROR: Final = """
() => {
  const errors = [];
  for (let tick = 0; tick < 41; tick++) {
    const before = Date.now();
    let now; while ((now = Date.now()) === before);
    errors.push((performance.timeOrigin + performance.now() - now) * 1000);
  }
  return errors.sort((a, b) => a - b)[10];
}
"""


class BrowserViewer:
    """One Chromium for a whole run, a fresh page for each measurement."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.version = browser.version
        self.clock_errors_us: list[float] = []

    def open(self, target: Target, path: str, subscribe: str | None) -> None:
        """Open a page of the server's origin that watches, and return when the server has greeted."""
        self._page: Page = self._browser.new_page()
        # A document that the server really serves: Chromium lets a page that was made up open no socket on loopback.
        self._page.goto(f"http://127.0.0.1:{target.port}{target.page}")
        self._page.evaluate(_SCRIPT, [path + target.query, subscribe])

    def collect(self) -> dict[str, Any]:
        """Wait for the end of the job, and return what arrived.

        ``delays_us``: pairs of an update's index and the time from its stamp until it was in the DOM; ``drawn_us``:
        until the frame with it was drawn. Several updates may share a frame.
        """
        arrived: dict[str, Any] = self._page.evaluate("giveUp(), finished")
        self.clock_errors_us.append(self._page.evaluate(_CLOCK_ERROR))
        self._page.close()
        return arrived


@contextlib.contextmanager
def chromium() -> Iterator[BrowserViewer]:
    """Run the system's Chromium, or Playwright's own, without a window."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        try:
            yield BrowserViewer(browser)
        finally:
            browser.close()
