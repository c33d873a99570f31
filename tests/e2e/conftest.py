"""Options of ``make e2e``."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--profile`` and ``--binaries``, as ``python -m tests.lab serve`` has them; and the pod network."""
    parser.addoption(
        "--profile",
        choices=("real", "internet"),
        default="real",
        help="real: Kubernetes compiled here and served on loopback; internet: the true upstreams",
    )
    parser.addoption(
        "--cni", choices=("none", "flannel"), default="none", help="the pod network the journey's bundle carries"
    )
    parser.addoption("--binaries", help="a folder of release binaries to serve instead of compiling them")
