"""Which way of running machines the lab chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import accelerator, qemu, uml, umlkernel
from tests.lab.errors import LabError
from tests.lab.kernel import Kernel

DEBIANS, OURS = Kernel(Path("/cache/kernel/debian")), Kernel(Path("/cache/kernel/uml"))


@pytest.mark.parametrize(
    ("kvm", "compiled", "starts", "wanted"),
    [
        (True, True, True, "kvm"),
        (False, True, True, "uml"),
        (False, True, False, "tcg"),
        (False, False, True, "tcg"),
    ],
)
def test_the_fastest_way_that_works_is_chosen(
    monkeypatch: pytest.MonkeyPatch, kvm: bool, compiled: bool, starts: bool, wanted: str
) -> None:
    monkeypatch.delenv(accelerator.VARIABLE, raising=False)
    monkeypatch.setattr(accelerator, "_kvm_works", lambda: kvm)
    monkeypatch.setattr(accelerator, "_remembered", lambda _what, judge: judge())
    monkeypatch.setattr(umlkernel, "kernel_is_there", lambda: compiled)
    monkeypatch.setattr(umlkernel, "kernel", lambda: OURS)
    monkeypatch.setattr(uml, "works", lambda _kernel: starts)
    monkeypatch.setattr(qemu, "kernel", lambda: DEBIANS)
    accelerator.host.cache_clear()
    found = accelerator.host()
    accelerator.host.cache_clear()
    assert (found.accelerator, found.kernel) == (wanted, OURS if wanted == "uml" else DEBIANS)


def test_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.VARIABLE, "xen")
    accelerator.host.cache_clear()
    with pytest.raises(LabError, match="unknown way to run machines"):
        accelerator.host()


def test_what_was_tried_once_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator, "cache_root", lambda: tmp_path)
    tried: list[bool] = []

    def judge() -> bool:
        tried.append(True)
        return True

    assert accelerator._remembered("uml", judge)
    assert accelerator._remembered("uml", judge)
    assert len(tried) == 1
