"""What an upstream on loopback can do wrong, one fault for one request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.upstream import Fault, Handler, Reply


def status(code: int, *, body: bytes = b"", content_type: str = "text/plain", **headers: str) -> Fault:
    """An answer with this status; keyword ``Retry_After`` becomes the header ``Retry-After``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: Handler, _reply: Reply) -> None:
        handler.answer(code, body, {"Content-Type": content_type, **named})

    return fault


def page(handler: Handler, _reply: Reply) -> None:
    """A proxy's error page with status 200."""
    handler.answer(200, b"<html>Please sign in</html>", {"Content-Type": "text/html; charset=utf-8"})


def reset_after(size_bytes: int) -> Fault:
    """The announced body breaks with a TCP reset after so many bytes."""

    def fault(handler: Handler, reply: Reply) -> None:
        handler.start(reply)
        handler.wfile.write(handler.wanted(reply)[:size_bytes])
        handler.wfile.flush()
        handler.break_off()

    return fault


def truncate_after(size_bytes: int) -> Fault:
    """The announced body ends early, the connection closed as if all were well."""

    def fault(handler: Handler, reply: Reply) -> None:
        handler.start(reply)
        handler.wfile.write(handler.wanted(reply)[:size_bytes])
        handler.close_connection = True

    return fault


def stall_after(size_bytes: int, seconds: float) -> Fault:
    """After so many bytes nothing arrives for ``seconds``."""

    def fault(handler: Handler, reply: Reply) -> None:
        handler.start(reply)
        handler.wfile.write(handler.wanted(reply)[:size_bytes])
        handler.wfile.flush()
        handler.server_closing.wait(seconds)
        handler.close_connection = True

    return fault


def stop_after(size_bytes: int, path: Path, act: Callable[[], object]) -> Fault:
    """Acts as soon as nearly so many bytes arrived in the file at ``path``; then nothing more comes for a while."""

    def fault(handler: Handler, reply: Reply) -> None:
        handler.start(reply)
        handler.wfile.write(handler.wanted(reply)[:size_bytes])
        handler.wfile.flush()
        # the writer's buffer may still hold the last few kilobytes
        while (not path.exists() or path.stat().st_size < size_bytes * 0.8) and not handler.server_closing.is_set():
            time.sleep(0.01)
        act()
        handler.server_closing.wait(0.5)
        handler.close_connection = True

    return fault


def trickle(seconds: float) -> Fault:
    """One byte every 50 ms for ``seconds``: alive, and useless."""

    def fault(handler: Handler, reply: Reply) -> None:
        handler.start(reply)
        until = time.monotonic() + seconds
        for byte in handler.wanted(reply):
            if time.monotonic() > until or handler.server_closing.wait(0.05):
                break
            handler.wfile.write(bytes([byte]))
        handler.close_connection = True

    return fault


def announce(difference_bytes: int) -> Fault:
    """The body, with a Content-Length that is off by so much."""

    def fault(handler: Handler, reply: Reply) -> None:
        body = handler.wanted(reply)
        handler.start(reply, announced=len(body) + difference_bytes)
        handler.wfile.write(body[: len(body) + difference_bytes])
        handler.close_connection = True

    return fault


def flip(offset: int) -> Fault:
    """The body with one changed byte."""

    def fault(handler: Handler, reply: Reply) -> None:
        body = bytearray(reply.body)
        body[offset] ^= 1
        handler.serve(Reply(bytes(body), reply.content_type, reply.headers, reply.serves_ranges))

    return fault


def redirect(url: str) -> Fault:
    """A temporary redirect."""
    return status(307, Location=url)


def ignore_range(handler: Handler, reply: Reply) -> None:
    """Status 200 and the whole body, whatever range was asked for."""
    handler.serve(Reply(reply.body, reply.content_type, reply.headers, serves_ranges=False))


def other_range(handler: Handler, reply: Reply) -> None:
    """Status 206 with a range that starts at the beginning, not where it was asked for."""
    total = len(reply.body)
    handler.answer(206, reply.body, {"Content-Range": f"bytes 0-{total - 1}/{total}"})
