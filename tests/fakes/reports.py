"""A report that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Quiet:
    """Hears of everything and says nothing."""

    def __getattr__(self, _name: str) -> Callable[..., Any]:
        return lambda *_args, **_more: lambda _read_bytes: None
