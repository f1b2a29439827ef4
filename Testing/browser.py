"""Chromium for tests of pages: without a window and over a pipe, so that nothing listens and no package is needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "google-chrome")
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


def program() -> str | None:
    """The browser's path, None where there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser, by the Chrome DevTools protocol; a context manager.

    Attributes:
        requests: addresses that the pages asked for.
        messages: what the pages' console told: errors, and what the content security policy refused.
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._size = (width, height)

    def __enter__(self) -> Browser:
        import fcntl  # Windows has none, and can load this file all the same

        self._profile = tempfile.TemporaryDirectory(prefix="cmr-browser-", ignore_cleanup_errors=True)
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        options = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
            *("--disable-extensions", "--no-first-run", f"--user-data-dir={self._profile.name}", "about:blank"),
        ]
        # Chromium reads commands from descriptor 3 and answers on 4, which must not be those in use until then.
        ours = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (command_read, answer_write)]
        actions = [(os.POSIX_SPAWN_DUP2, ours[0], 3), (os.POSIX_SPAWN_DUP2, ours[1], 4)]
        actions += [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
        path = str(program())
        self._process = os.posix_spawn(path, [path, *options], os.environ, file_actions=actions)
        for descriptor in (*ours, command_read, answer_write):
            os.close(descriptor)
        self._commands, self._answers = os.fdopen(command_write, "wb", 0), os.fdopen(answer_read, "rb")
        self._numbers, self._session, self._rest = itertools.count(1), "", b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(self, *unused: object) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._commands.close()
        self._answers.close()
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def open(self, path: Path) -> None:
        """Load a file and wait until all of it is there."""
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._next()

    def resize(self, width: int, height: int) -> None:
        """Give the window a size in pixels."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sizes)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let go of it."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        event = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        """Write the page as it is printed."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._answers.fileno(), 1 << 20)
            if not more:
                raise RuntimeError("The browser ended.")
            self._rest += more
        text, self._rest = self._rest.split(b"\0", 1)
        event: dict[str, Any] = json.loads(text)
        kind, told = event.get("method", ""), event.get("params", {})
        if kind == "Page.loadEventFired":
            self._loaded = True
        elif kind == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif kind == "Log.entryAdded":
            self.messages.append(told["entry"]["text"])
        elif kind == "Runtime.exceptionThrown":
            self.messages.append(told["exceptionDetails"]["text"])
        return event
