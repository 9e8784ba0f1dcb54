"""A headless Chromium for tests, driven by its DevTools protocol over a pipe, so that no driver has to be installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REQUIRE = "BYOE_REQUIRE_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads from descriptor 3 and writes to 4.
_LAUNCHER = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for place, pipe in enumerate(pipes, start=3):
    os.dup2(pipe, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SECONDS = 30.0


def require_chromium() -> str:
    """Return Chromium's path; without Chromium skip the test, or fail it if Chromium is required."""
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE}=1, and there is no Chromium: .ci/chromium installs it")
    pytest.skip("there is no Chromium: .ci/chromium installs it")


@dataclass
class Tab:
    """A page that is open.

    Attributes:
        errors: Errors and warnings on the console, and exceptions.
        requests: Addresses of every request besides the page itself.
    """

    browser: Browser
    session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        return self.browser.call(method, params, self.session)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = _SECONDS) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"{expression} did not become true; the console has {self.errors}"
            self.evaluate("new Promise((done) => setTimeout(done, 50))")

    def middle(self, selector: str) -> tuple[float, float]:
        """Return the position of the middle of the first such element on the screen."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
        return x, y

    def mouse(self, event: str, x: float, y: float, **more: Any) -> None:
        """Send a mouse event: ``mouseMoved``, ``mousePressed`` or ``mouseReleased``."""
        self.call("Input.dispatchMouseEvent", type=event, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse from one place to another."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        for share in (0.5, 1.0):
            self.mouse(
                "mouseMoved", *(a + share * (b - a) for a, b in zip(start, end, strict=True)), button="left", buttons=1
            )
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        area = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": area} if whole else {}))
        path.write_bytes(base64.b64decode(shot["data"]))


class Browser:
    """A running Chromium; as a context manager it ends at the exit."""

    def __init__(self, folder: Path) -> None:
        """Start it with a new profile below ``folder``."""
        to_browser, requests = os.pipe()
        answers, from_browser = os.pipe()

        launcher = [sys.executable, "-c", _LAUNCHER, str(to_browser), str(from_browser)]
        self._process = subprocess.Popen(
            [*launcher, require_chromium(), *_FLAGS, f"--user-data-dir={folder / 'chromium'}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._out, self._in = os.fdopen(requests, "wb", buffering=0), os.fdopen(answers, "rb", buffering=0)
        self._left = b""
        self._count = 0
        self._tabs: dict[str, Tab] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("Browser.close", {})
        except (AssertionError, OSError):  # it has ended already
            self._process.kill()
        self._process.wait(timeout=_SECONDS)
        self._out.close()
        self._in.close()

    @contextmanager
    def open(self, address: str, width: int, height: int, *, dark: bool = False, phone: bool = False) -> Iterator[Tab]:
        """Open an address in a new tab of this size.

        Args:
            address: The address of the page.
            width: The width of the window in CSS pixels.
            height: Its height.
            dark: Whether the user prefers dark colours.
            phone: Whether it is a phone, with touch and without a mouse.
        """
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        tab.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme])
        answer = tab.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        try:
            yield tab
        finally:
            self.call("Target.closeTarget", {"targetId": target})

    def call(self, method: str, params: Mapping[str, Any], session: str | None = None) -> dict[str, Any]:
        """Call a method of the protocol, and return its result; the tabs keep the events before it."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        self._out.write(json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = self._in.read(1 << 16)
            assert part, "Chromium has ended"
            self._left += part
        text, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    def _note(self, event: Mapping[str, Any]) -> None:
        tab, params = self._tabs.get(event.get("sessionId", "")), event.get("params", {})
        if tab is None:
            return
        if event["method"] == "Network.requestWillBeSent" and params["type"] != "Document":
            tab.requests.append(params["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            tab.errors.append(json.dumps(params["exceptionDetails"])[:2000])
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            tab.errors.append(json.dumps(params["args"])[:2000])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            tab.errors.append(json.dumps(params["entry"])[:2000])
