"""A real browser without a window, spoken to over a pipe: Debian's chromium-headless-shell and the DevTools protocol.

Messages are JSON, each ended by a zero byte: commands to its descriptor 3, answers and events from its descriptor 4. It
is given no way to any network: every name leads to an address that answers nobody.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
_PATIENCE_SECONDS = 60.0
_FIRST_FREE = 10  # above the descriptors that the browser reads and writes
_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * 192.0.2.1", "--force-color-profile=srgb"),
)


class Page:
    """One page of the browser: ``events`` are what it told meanwhile, in order."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            told = self._message()
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                answer: dict[str, Any] = told["result"]
                return answer
            self.events.append(told)

    def open(self, path: Path) -> None:
        """Loads a file and waits until everything in it is there."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def look(self, width: int, *, scheme: str = "light", media: str = "screen") -> None:
        """Shows the page in this width (in CSS pixels), colour scheme and medium."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", media=media,
                 features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON can hold it."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(told["data"])

    def printed(self) -> bytes:
        """The page as PDF, as it would be printed on A4."""
        return base64.b64decode(self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _message(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A page of a browser that lives while the block runs; its own files are in ``folder``."""
    program = shutil.which(PROGRAM)
    assert program, f"{PROGRAM} is missing: .ci/setup installs it"
    with contextlib.ExitStack() as open_ends:
        there, to_browser = _pipe(open_ends)
        from_browser, back = _pipe(open_ends)
        quiet = os.open(os.devnull, os.O_RDWR)
        open_ends.callback(os.close, quiet)
        actions = [
            (os.POSIX_SPAWN_DUP2, given, number) for number, given in enumerate((quiet, quiet, quiet, there, back))
        ]
        argv = [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        process = os.posix_spawn(program, argv, {**os.environ, "HOME": str(folder)}, file_actions=actions, setpgroup=0)
        try:
            yield Page(to_browser, from_browser)
        finally:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _pipe(open_ends: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are not those numbers that they are to get in the browser."""
    ends = []
    for descriptor in os.pipe():
        ends.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE))
        os.close(descriptor)
        open_ends.callback(os.close, ends[-1])
    return ends[0], ends[1]
