"""What a cluster keeps, as Helm and kubectl show and change it: namespaces, releases, and the pods of workloads.

Helm refuses what the real one refuses: a namespace that is not there, a release whose last revision is pending or
uninstalled. The flags are the exact ones, so that a changed command line is looked at.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from installer.node import CommandResult
from installer.render.kubeadm import ADMIN_KUBECONFIG
from tests.fakes.node import FakeNode

_STATES = ("--deployed", "--failed", "--pending", "--superseded", "--uninstalled", "--uninstalling")
_PENDING = ("pending-install", "pending-upgrade", "pending-rollback")


@dataclass
class Revision:
    """One revision of a release, which is one secret."""

    status: str
    chart: str
    values: dict[str, Any]


@dataclass
class Workload:
    """A workload of a chart: ready ``takes_seconds`` after its release was made. ``pods`` are shown until then."""

    key: str
    takes_seconds: float = 0.0
    made_at_seconds: float = float("inf")
    pods: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Held:
    """An object that goes ``takes_seconds`` after it was deleted, if the release that has to let it go is there."""

    document: dict[str, Any]
    release: tuple[str, str] | None = None
    takes_seconds: float = 5.0
    deleted_at_seconds: float = float("inf")


@dataclass
class Cluster:
    """The cluster behind the API of ``node``; ``workloads`` are by ``namespace/kind/name``.

    ``images`` are those that each chart names; its value ``moreImages`` names more.
    """

    node: FakeNode
    namespaces: dict[str, dict[str, Any]] = field(default_factory=lambda: {"kube-system": {}})
    releases: dict[tuple[str, str], list[Revision]] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    configmaps: dict[str, dict[str, str]] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Each Service's address, by ``namespace/name``."""
    has_kube_proxy: bool = True
    objects: dict[str, Held] = field(default_factory=dict)
    """What has no namespace, by ``kind/name``."""
    on_release: Callable[[str, str], None] = lambda _name, _status: None
    """Called with a release and what became of it: what its pods do then."""
    silent_nodes: tuple[str, ...] = ()
    dies_in: str = ""
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def release(self, namespace: str, name: str) -> Revision | None:
        """The newest revision of a release."""
        revisions = self.releases.get((namespace, name))
        return revisions[-1] if revisions else None

    def is_ready(self, workload: str) -> bool:
        """Whether all its pods are ready by now."""
        found = self.workloads.get(workload)
        return found is not None and self.node.clock_seconds >= found.made_at_seconds + found.takes_seconds

    # --- helm ---

    def helm(self, words: tuple[str, ...], _stdin: bytes) -> str | CommandResult:
        """One run of Helm."""
        if words[1] == "template":
            return self._rendered(words[2:])
        assert words[1:3] == ("--kubeconfig", ADMIN_KUBECONFIG)
        verb, *rest = words[3:]
        if verb == "list" and rest[0] == "--all-namespaces":
            assert rest[1:] == [*_STATES, "-o", "json"]
            return json.dumps([{"name": name, "namespace": where} for where, name in self.releases])
        if verb == "list":
            assert rest[0] == "--namespace"
            assert (rest[2], *rest[4:]) == ("--filter", *_STATES, "-o", "json")
            return self._listed(rest[1], rest[3])
        if verb == "get":
            assert (rest[0], rest[2], *rest[4:]) == ("values", "--namespace", "-o", "json")
            found = self.release(rest[3], rest[1])
            return json.dumps(found.values or None) if found else _failed(words, "Error: release: not found")
        if verb == "uninstall":
            assert rest[1] == "--namespace"
            self.releases.pop((rest[2], rest[0]))
            self.on_release(rest[0], "uninstalled")
            return ""
        assert verb == "upgrade"
        return self._upgrade(words, rest)

    def _rendered(self, words: tuple[str, ...]) -> str:
        name, chart, _, _, _, values, _, version, *end = words
        assert (words[2], words[4], words[6], end) == (
            *("--namespace", "--values", "--kube-version"),
            ["--include-crds", "--skip-tests"],
        )
        assert version.startswith("v1.")
        assert self._chart_name(chart)
        given = yaml.safe_load(self.node.read_text(values) or "")
        images = [*self.images.get(name, ()), *given.get("moreImages", ())]
        return "".join(f"---\nspec: {{containers: [{{image: '{image}'}}]}}\n" for image in images)

    def _listed(self, namespace: str, pattern: str) -> str:
        found = {name: revisions[-1] for (where, name), revisions in self.releases.items() if where == namespace}
        return json.dumps(
            [
                {"name": name, "namespace": namespace, "status": last.status, "chart": last.chart, "revision": "1"}
                for name, last in found.items()
                if pattern == f"^{name}$"
            ]
        )

    def _upgrade(self, words: tuple[str, ...], rest: list[str]) -> str | CommandResult:
        install, name, chart, _, namespace, _, values, *end = rest
        assert (install, rest[3], rest[5], end[:2]) == (
            *("--install", "--namespace", "--values"),
            ["--reset-values", "--timeout"],
        )
        revisions = self.releases.get((namespace, name), [])
        if namespace not in self.namespaces:
            return _failed(words, f'Error: create: failed to create: namespaces "{namespace}" not found')
        if revisions and revisions[-1].status in _PENDING:
            return _failed(words, "Error: UPGRADE FAILED: another operation is in progress")
        if revisions and revisions[-1].status in ("uninstalled", "uninstalling"):
            return _failed(words, f'Error: UPGRADE FAILED: "{name}" has no deployed releases')
        stat = self.node.stat(values)
        assert stat, "no values file"
        assert stat.mode == 0o600, "values may hold secrets"
        given = yaml.safe_load(self.node.read_text(values) or "")
        fresh = Revision("pending-upgrade" if revisions else "pending-install", self._chart_name(chart), given)
        self.releases.setdefault((namespace, name), []).append(fresh)
        if self.dies_in == fresh.status:
            self.dies_in = ""
            raise KeyboardInterrupt
        for revision in revisions[:-1]:
            revision.status = "superseded"
        fresh.status = "deployed"
        self.on_release(name, "deployed")
        for key, workload in self.workloads.items():
            if key.startswith(f"{namespace}/"):
                workload.made_at_seconds = min(workload.made_at_seconds, self.node.clock_seconds)
        return f'Release "{name}" has been upgraded. Happy Helming!\n'

    def _chart_name(self, path: str) -> str:
        data = self.node.read_bytes(path)
        assert data, "no chart"
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = next(name for name in archive.getnames() if name.endswith("/Chart.yaml"))
            stream = archive.extractfile(member)
            chart = yaml.safe_load(stream.read() if stream else b"")
        return f"{chart['name']}-{chart['version']}"

    # --- kubectl ---

    def kubectl(self, words: tuple[str, ...]) -> str | CommandResult:
        """One run of kubectl for what this cluster keeps."""
        verb, *rest = words[3:]
        if verb == "get" and rest[0] != "-n":
            return self._named(words, rest)
        if rest[0] == "configmap":
            return self._patched(words, verb, rest)
        if verb == "get":
            assert rest[0] == "-n"
            return self._pods(rest[1], rest[4]) if rest[2] == "pods" else self._workload(words, *rest[1:4])
        if verb == "create":
            assert rest[0] == "namespace"
            assert rest[1] not in self.namespaces, "AlreadyExists"
            self.namespaces[rest[1]] = {"kubernetes.io/metadata.name": rest[1]}
        elif verb == "delete" and rest[2:] == ["--ignore-not-found", "--wait=false"]:
            held = self.objects.setdefault(f"{rest[0]}/{rest[1]}", Held({}))
            held.deleted_at_seconds = min(held.deleted_at_seconds, self.node.clock_seconds)
        elif verb == "label":
            assert rest[:2] == ["--overwrite", "namespace"]
            self.namespaces[rest[2]] |= dict(pair.split("=", 1) for pair in rest[3:])
        else:
            self._forget(words)
        return ""

    def _namespace(self, words: tuple[str, ...], name: str) -> str | CommandResult:
        if name not in self.namespaces:
            return _failed(words, f'Error from server (NotFound): namespaces "{name}" not found')
        return json.dumps({"metadata": {"labels": self.namespaces[name]}, "status": {"phase": "Active"}})

    def _named(self, words: tuple[str, ...], rest: list[str]) -> str | CommandResult:
        """``kubectl get KIND NAME -n NAMESPACE``, and what needs no namespace."""
        kind, name = rest[:2]
        if rest[2:] == ["--ignore-not-found", "-o", "json"]:
            return self._if_there(words, kind, name)
        if kind in ("namespace", "nodes"):
            nodes = json.dumps({"items": [_node(node) for node in self.silent_nodes]})
            return nodes if kind == "nodes" else self._namespace(words, name)
        assert rest[2] == "-n"
        if (kind, name) == ("configmap", "kube-proxy"):
            assert rest[3:] == ["kube-system", "--ignore-not-found", "-o", "name"]
            return "configmap/kube-proxy\n" if self.has_kube_proxy else ""
        assert rest[4:] == ["-o", "json"]
        key = f"{rest[3]}/{name}"
        if kind == "service" and key in self.services:
            return json.dumps({"spec": {"clusterIP": self.services[key]}})
        if kind == "configmap" and key in self.configmaps:
            return json.dumps({"metadata": {"name": name, "namespace": rest[3]}, "data": self.configmaps[key]})
        return _failed(words, f'Error from server (NotFound): {kind}s "{name}" not found')

    def _if_there(self, words: tuple[str, ...], kind: str, name: str) -> str | CommandResult:
        """An object, or nothing at all; of a kind that nobody defined, kubectl's complaint."""
        held = self.objects.get(f"{kind}/{name}")
        may_go = held is not None and (held.release is None or held.release in self.releases)
        if held is not None and may_go and self.node.clock_seconds >= held.deleted_at_seconds + held.takes_seconds:
            del self.objects[f"{kind}/{name}"]
            self.namespaces.pop(name if kind == "namespace" else "", None)
            held = None
        if kind == "namespace":
            return json.dumps((held and held.document) or {"kind": "Namespace"}) if name in self.namespaces else ""
        if held is None and not any(key.startswith(f"{kind}/") for key in self.objects):
            return _failed(words, f'error: the server doesn\'t have a resource type "{kind.partition(".")[0]}"')
        return json.dumps(held.document) if held else ""

    def _patched(self, words: tuple[str, ...], verb: str, rest: list[str]) -> str | CommandResult:
        """``kubectl patch configmap`` by a merge of its data."""
        _, name, at, namespace, *end = rest
        assert (verb, at, *end[:3]) == ("patch", "-n", "--type", "merge", "-p")
        data = self.configmaps.get(f"{namespace}/{name}")
        if data is None:
            return _failed(words, f'Error from server (NotFound): configmaps "{name}" not found')
        data |= json.loads(end[3])["data"]
        return f"configmap/{name} patched\n"

    def _workload(self, words: tuple[str, ...], namespace: str, kind: str, name: str) -> str | CommandResult:
        found = self.workloads.get(f"{namespace}/{kind}/{name}")
        if found is None or self.node.clock_seconds < found.made_at_seconds:
            return _failed(words, f'Error from server (NotFound): {kind}s.apps "{name}" not found')
        ready = 1 if self.is_ready(f"{namespace}/{kind}/{name}") else 0
        status: dict[str, Any] = {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": 1}
        if kind == "daemonset":
            names = ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady")
            status = {"observedGeneration": 1} | dict(zip(names, (1, 1, ready), strict=True))
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}}
        return json.dumps({"metadata": {"generation": 1}, "spec": spec, "status": status})

    def _pods(self, namespace: str, selector: str) -> str:
        name = selector.removeprefix("app=")
        found = next(item for key, item in self.workloads.items() if key.endswith(f"/{name}") and namespace in key)
        return json.dumps({"items": found.pods})

    def _forget(self, words: tuple[str, ...]) -> None:
        """``kubectl delete secret`` by the labels Helm puts on a revision."""
        assert words[3:6] == ("delete", "secret", "--namespace")
        assert words[7] == "--selector"
        wanted = dict(pair.split("=") for pair in words[8].split(","))
        assert wanted.pop("owner") == "helm"
        revisions = self.releases[words[6], wanted["name"]]
        revisions[:] = [revision for revision in revisions if revision.status != wanted["status"]]


def _node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}


def _failed(words: tuple[str, ...], stderr: str) -> CommandResult:
    return CommandResult(words, 1, "", stderr)
