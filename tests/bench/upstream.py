"""What bytes are measured come from, on loopback: the lab's small upstream and a registry with a generated set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bundler.host_python import host_archive, host_platform
from tests.bench import content
from tests.bench.counting import Counter, counting
from tests.lab.errors import LabError
from tests.lab.registry import running_registry
from tests.lab.upstream import serving

KUBERNETES = "1.30"
ADDON = "bench-images"
_OBJECT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: bench-images, namespace: {{ .Release.Namespace }}}
"""


@dataclass(frozen=True)
class Upstream:
    """A running upstream with the set of ``size``; ``registries`` by the beginning of the images' names.

    ``counter`` counts what passes when a build uses the profile that leads through it.
    """

    folder: Path
    size: str
    files: str
    registries: Mapping[str, str]
    counter: Counter

    def request(self, *, changed: bool = False) -> list[str]:
        """The arguments of ``bundle build`` that say what to build; ``changed`` is the set with another image."""
        return ["--k8s", KUBERNETES, "--cni", "none", "--addon", ADDON, *self._addon(changed)]

    def locked(self, lock: Path) -> list[str]:
        """The arguments that say it by a lock."""
        return ["--lock", str(lock), *self._addon(changed=False)]

    def sources(self, *, counted: bool = False) -> list[str]:
        """The arguments that say where bytes come from."""
        mirror = self.folder / ("counted.yaml" if counted else "mirror.yaml")
        runtime = self.folder / "runtime.tar.gz"
        return ["--mirror", str(mirror), "--catalog", str(self.folder / "catalog"), "--runtime", str(runtime)]

    def place(self, reference: str) -> str:
        """``host:port/repository:tag``: where another tool finds the image."""
        for prefix, registry in self.registries.items():
            if reference.startswith(prefix):
                return f"{registry}/{reference.removeprefix(prefix)}"
        raise LabError("no registry has this image", where=reference)

    def url(self, origin: str) -> str:
        """Where another tool finds a release file."""
        return f"{self.files}{origin.removeprefix('https://')}"

    def _addon(self, changed: bool) -> list[str]:
        return ["--addon-file", str(self.folder / ("changed.yaml" if changed else "images.yaml"))]


@contextmanager
def upstream(size: str, folder: Path) -> Iterator[Upstream]:
    """Serves the set of ``size`` while the block runs; ``folder`` gets what a build needs to be sent there."""
    store = content.store(size) / "registry"
    with ExitStack() as stack:
        served = stack.enter_context(serving("mini", folder))
        registry = stack.enter_context(running_registry(store, read_only=True))
        counter = Counter()
        proxies = {
            place: stack.enter_context(counting(place, counter))
            for place in (served.registry, registry, served.files.removeprefix("http://").rstrip("/"))
        }
        profile = _with_rule(yaml.safe_load(served.mirror.read_text(encoding="utf-8")), registry)
        _write_yaml(served.mirror, profile)
        text = served.mirror.read_text(encoding="utf-8")
        for place, proxy in proxies.items():
            text = text.replace(place, proxy)
        (folder / "counted.yaml").write_text(text, encoding="utf-8")
        _write_yaml(folder / "images.yaml", addon(content.references(size)))
        _write_yaml(folder / "changed.yaml", addon(content.references(size, changed=True)))
        (folder / "runtime.tar.gz").write_bytes(_runtime())
        registries = {f"{content.HOST}/": registry, "": served.registry}
        yield Upstream(folder, size, served.files, registries, counter)


def addon(images: tuple[str, ...]) -> dict[str, Any]:
    """The add-on that makes a bundle carry ``images``, as a user would bring it."""
    return {
        "schema": 1,
        "name": ADDON,
        "kind": "addon",
        "default": content.TAG,
        "namespace": ADDON,
        "roles": ["cp", "worker"],
        "ready": [f"deployment/{ADDON}"],
        "versions": {content.TAG: {"images": list(images)}},
        "objects": _OBJECT,
    }


def _with_rule(profile: dict[str, Any], registry: str) -> dict[str, Any]:
    rule = {"prefix": f"{content.HOST}/", "replace": [{"base": registry, "plain_http": True}]}
    return {**profile, "images": [rule, *profile["images"]]}


def _runtime() -> bytes:
    platform = host_platform()
    if platform is None:
        raise LabError("bundles are not made for this kind of machine")
    return host_archive(platform)


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
