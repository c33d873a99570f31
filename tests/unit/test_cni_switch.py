"""Changing the pod network: in order in the cluster, cleaned on each node, pods anew, and again after any cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer.addons import pod_network
from installer.bundle.addon import BundledAddon
from installer.leftovers import LEFTOVERS, Leftover
from installer.networks import NETWORKS, Network, network_named, others
from installer.steps.leftovers import remove_leftovers_of
from installer.steps.podnetwork import MARK_PATH
from tests.fakes.addons import CILIUM, FLANNEL
from tests.fakes.cluster import Held, Revision, Workload
from tests.fakes.debian import debian
from tests.fakes.desk import Desk, cut_off_after_each_step, desk_with
from tests.fakes.machine import Machine
from tests.fakes.media import media_set
from tests.fakes.sandboxes import Sandbox
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_leftovers import EXAMPLES, machine_with

CALICO = replace(
    FLANNEL,
    name="calico",
    version="v3.31.7",
    namespace="tigera-operator",
    values={"installation": {"calicoNetwork": {"ipPools": [{"cidr": "${podSubnet}"}]}}},
    ready=("deployment/tigera-operator",),
    notes=(),
)
ADDONS: dict[str, BundledAddon] = {"flannel": FLANNEL, "calico": CALICO, "cilium": CILIUM}
NAMESPACES = {"flannel": "kube-flannel", "calico": "tigera-operator", "cilium": "kube-system"}
NAMES = tuple(ADDONS)
Installing = Callable[[str], Desk]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    return {name: media_set(folder / name, small_bundle(addons=(addon,))) for name, addon in ADDONS.items()}


def row(name: str) -> Network:
    found = network_named(name)
    assert found is not None
    return found


def agent(machine: Machine, name: str, since_seconds: float) -> Sandbox:
    key, value = row(name).agent
    return Sandbox(f"{name}-agent", since_seconds, {key: value}, host_network=True, writes=row(name).config_paths[0])


def follow_releases(machine: Machine) -> None:
    """What pods do when Helm puts a network into the cluster or takes it out."""

    def on_release(name: str, status: str) -> None:
        machine.sandboxes.pop(f"agent-of-{name}", None)
        if status == "deployed":
            machine.sandboxes[f"agent-of-{name}"] = agent(machine, name, machine.node.clock_seconds + 7)

    machine.cluster.on_release = on_release


@pytest.fixture
def installed_with(
    media: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Installing:
    """Makes a first control plane whose cluster runs a network, with pods on it."""
    return lambda name: _installed(name, desk_with(debian(), media[name], tmp_path, monkeypatch, capsys))


def _installed(name: str, desk: Desk) -> Desk:
    machine = desk.machine
    addon = ADDONS[name]
    for workload in addon.ready:
        machine.cluster.workloads[f"{addon.namespace}/{workload}"] = Workload(name)
    machine.network = f"{addon.namespace}/{addon.ready[0]}"
    follow_releases(machine)
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    cluster = machine.cluster
    for namespace in row(name).namespaces:
        cluster.namespaces.setdefault(namespace, {})
    release = (NAMESPACES[name], name)
    for resource in row(name).resources:
        finalizers = {"metadata": {"finalizers": ["tigera.io/operator-cleanup"]}}
        cluster.objects[resource] = Held(finalizers, release)
    now_seconds = machine.node.clock_seconds
    machine.sandboxes["app"] = Sandbox("app", now_seconds)
    machine.sandboxes["api"] = Sandbox("kube-apiserver", now_seconds, host_network=True)
    machine.node.clock_seconds += 60
    return desk


def switch(desk: Desk, media: dict[str, Path], to: str, *more: str) -> tuple[int, str]:
    desk.media = media[to]
    return desk.run("cni", "switch", "--to", to, "--yes", *more)


def changes(machine: Machine, since: int) -> list[str]:
    """What was changed in the cluster and of the pods, in order."""
    told = []
    for words in machine.node.ran[since:]:
        match (words[0].rpartition("/")[2], *words[3:]):
            case ("kubectl", "delete", kind, name, *_):
                told.append(f"delete {kind} {name}")
            case ("helm", "uninstall", name, *_):
                told.append(f"uninstall {name}")
            case ("helm", "upgrade", "--install", name, *_):
                told.append(f"upgrade {name}")
            case ("crictl", "stopp", name):
                told.append(f"stopp {name}")
    return told


PAIRS = [(old, new) for old in NAMES for new in NAMES if old != new]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_each_network_can_take_each_others_place(
    old: str, new: str, media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with(old)
    machine = desk.machine
    machine.node.with_files({f"/opt/cni/bin/{old}": "x"})
    code, said = switch(desk, media, new)
    assert code == 0, said
    assert [name for _, name in machine.cluster.releases] == [new]
    assert not set(row(old).namespaces) & set(machine.cluster.namespaces)
    assert not machine.cluster.objects
    assert all(machine.node.stat(path) is None for path in row(old).config_paths)
    assert all(machine.node.stat(path) is not None for path in row(new).config_paths)
    assert set(machine.sandboxes) == {f"agent-of-{new}", "api"}, "pods from before start anew, the node's own stay"
    assert f"ghcr.io/{new}/{new}:v1" in machine.images
    assert machine.node.stat(MARK_PATH) is None
    files, ran = machine.node.files(), len(machine.node.ran)
    code, said = switch(desk, media, new)
    assert (code, f"the pod network is {new} here" in " ".join(said.split())) == (0, True), said
    assert machine.node.files() == files
    assert changes(machine, ran) == []


def test_trap_19_calicos_resources_go_one_by_one_before_its_operator_and_the_namespaces_last(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    ran = len(desk.machine.node.ran)
    code, said = switch(desk, media, "cilium")
    assert code == 0, said
    assert changes(desk.machine, ran) == [
        "delete whiskers.operator.tigera.io default",
        "delete goldmanes.operator.tigera.io default",
        "delete apiservers.operator.tigera.io default",
        "delete installations.operator.tigera.io default",
        "uninstall calico",
        "delete namespace calico-apiserver",
        "delete namespace calico-system",
        "delete namespace tigera-operator",
        "upgrade cilium",
        "stopp app",
    ]


def test_trap_19_what_is_held_by_a_finalizer_is_named_and_nothing_after_it_is_done(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    held = desk.machine.cluster.objects["installations.operator.tigera.io/default"]
    held.takes_seconds = float("inf")
    code, said = switch(desk, media, "cilium")
    assert code == 1
    told = " ".join(said.split())
    assert "installations.operator.tigera.io/default does not go" in told
    assert "held by finalizers tigera.io/operator-cleanup" in told
    assert desk.machine.cluster.release("tigera-operator", "calico") is not None
    held.takes_seconds = 1.0
    code, said = switch(desk, media, "cilium")
    assert code == 0, said


def test_trap_19_a_namespace_that_does_not_go_says_what_is_in_it(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    message = "Some content in the namespace has finalizers remaining: tigera.io/cni-protector in 1 resource instances"
    condition = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}
    document = {"kind": "Namespace", "status": {"conditions": [condition]}}
    desk.machine.cluster.objects["namespace/calico-system"] = Held(document, takes_seconds=float("inf"))
    code, said = switch(desk, media, "cilium")
    assert code == 1
    told = " ".join(said.split())
    assert "namespace/calico-system does not go" in told
    assert "tigera.io/cni-protector" in told
    desk.machine.cluster.objects["namespace/calico-system"].takes_seconds = 0.0
    code, said = switch(desk, media, "cilium")
    assert code == 0, said


@pytest.mark.parametrize("old", ["calico", "flannel"])
def test_cut_off_after_any_step_it_goes_on(
    old: str, media: dict[str, Path], monkeypatch: pytest.MonkeyPatch, installed_with: Installing
) -> None:
    desk = installed_with(old)
    desk.media = media["cilium"]
    assert cut_off_after_each_step(desk, monkeypatch, "cni", "switch", "--to", "cilium", "--yes") > 10
    assert [name for _, name in desk.machine.cluster.releases] == ["cilium"]
    assert not set(row(old).namespaces) & set(desk.machine.cluster.namespaces)
    assert set(desk.machine.sandboxes) == {"agent-of-cilium", "api"}


def test_the_list_comes_first_and_without_a_yes_nothing_is_done(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    desk.media, ran = media["cilium"], len(desk.machine.node.ran)
    code, said = desk.run("cni", "switch", "--to", "cilium")
    told = " ".join(said.split())
    assert code == 2
    for part in (
        "This will be done:",
        "delete installations.operator.tigera.io/default, and wait until its operator lets it go",
        "helm uninstall calico in tigera-operator",
        "delete namespace calico-system",
        "helm upgrade --install cilium",
        "start 1 pod anew",
        "then the same command on every other node",
        "Calico's definitions stay",
    ):
        assert part in told
    assert changes(desk.machine, ran) == []
    assert desk.machine.node.stat(MARK_PATH) is None


@pytest.mark.parametrize(("name", "leftover"), [(row_.owner, row_) for row_ in LEFTOVERS], ids=str)
def test_trap_18_what_the_old_network_left_on_the_node_goes_and_nothing_of_kubernetes_or_the_new_one(
    name: str, leftover: Leftover
) -> None:
    machine = machine_with(leftover)
    new = row("cilium")
    owners = frozenset((*(other.owner for other in others(new)), "CNI plugins"))
    left = [step.id for step in remove_leftovers_of(owners, "10.244.0.0/16") if not step.check(machine.node).satisfied]
    assert bool(left) == (name in ("Flannel", "Calico", "CNI plugins")), EXAMPLES.get(leftover.mark, leftover.mark)


def test_trap_18_routes_of_bird_are_gone_before_the_new_network_comes(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    machine = desk.machine
    kept = {"dst": "10.0.24.0/24", "dev": "ens3", "protocol": "kernel"}
    machine.net.routes = [
        {"dst": "10.244.111.192/26", "gateway": "10.0.24.31", "dev": "ens3", "protocol": "bird"},
        kept,
    ]
    seen: list[int] = []
    follow = machine.cluster.on_release

    def on_release(name: str, status: str) -> None:
        follow(name, status)
        seen.extend([len(machine.net.routes)] if (name, status) == ("cilium", "deployed") else [])

    machine.cluster.on_release = on_release
    assert switch(desk, media, "cilium")[0] == 0
    assert (seen, machine.net.routes) == ([1], [kept])


def worker(desk: Desk, *, still_runs: bool) -> None:
    """Makes of the installed node a worker of a cluster that has gone over to Cilium already, or not yet."""
    machine = desk.machine
    record = machine.node.read_text("/var/lib/airgap-bundle/installed.json") or ""
    machine.node.with_files(
        {"/var/lib/airgap-bundle/installed.json": record.replace('"role": "cp"', '"role": "worker"')}
    )
    machine.node.with_files({"/etc/cni/net.d/10-calico.conflist": "{}", "/opt/cni/bin/calico": "x"})
    machine.node.remove("/etc/kubernetes/admin.conf")
    if not still_runs:
        del machine.sandboxes["agent-of-calico"]
        machine.sandboxes["agent-of-cilium"] = agent(machine, "cilium", machine.node.clock_seconds + 30)


def test_a_worker_needs_no_rights_in_the_cluster(media: dict[str, Path], installed_with: Installing) -> None:
    desk = installed_with("calico")
    worker(desk, still_runs=False)
    ran = len(desk.machine.node.ran)
    code, said = switch(desk, media, "cilium")
    assert code == 0, said
    assert not [words for words in desk.machine.node.ran[ran:] if words[0].endswith(("/helm", "/kubectl"))]
    assert set(desk.machine.sandboxes) == {"agent-of-cilium", "api"}
    assert desk.machine.node.stat("/etc/cni/net.d/10-calico.conflist") is None
    assert "ghcr.io/cilium/cilium:v1" in desk.machine.images


def test_a_worker_before_the_control_plane_is_sent_there_and_loses_nothing(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    worker(desk, still_runs=True)
    code, said = switch(desk, media, "cilium")
    assert code == 1
    assert "run the same command on the first control plane before this node" in " ".join(said.split())
    assert desk.machine.node.stat("/etc/cni/net.d/10-calico.conflist") is not None
    assert "app" in desk.machine.sandboxes


def test_a_further_control_plane_leaves_the_cluster_as_the_first_made_it(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    machine = desk.machine
    machine.cluster.releases.clear()
    machine.cluster.releases["kube-system", "cilium"] = [Revision("deployed", "cilium-1.18.12", {"podMTU": "8950"})]
    machine.cluster.objects.clear()
    for namespace in row("calico").namespaces:
        machine.cluster.namespaces.pop(namespace, None)
    del machine.sandboxes["agent-of-calico"]
    machine.sandboxes["agent-of-cilium"] = agent(machine, "cilium", machine.node.clock_seconds + 9)
    ran = len(machine.node.ran)
    code, said = switch(desk, media, "cilium")
    assert code == 0, said
    assert changes(machine, ran) == ["stopp app"]


@pytest.mark.parametrize(
    ("to", "medium", "says"),
    [
        ("weave", "cilium", "no such pod network is known"),
        ("cilium", "flannel", "the medium does not have this pod network"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_looked_at(
    to: str, medium: str, says: str, media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    desk.media, files = media[medium], desk.machine.node.files()
    code, said = desk.run("cni", "switch", "--to", to, "--yes")
    assert (code, says in said) == (2, True), said
    assert desk.machine.node.files() == files


def test_an_install_does_not_put_a_second_network_beside_the_first(
    media: dict[str, Path], installed_with: Installing
) -> None:
    desk = installed_with("calico")
    desk.media = media["cilium"]
    code, said = desk.run("--role", "cp")
    assert code == 1
    assert "the cluster has another pod network" in said
    assert "./install cni switch --to cilium" in said
    assert [name for _, name in desk.machine.cluster.releases] == ["calico"]


def test_a_machine_that_is_no_node_has_no_network_to_change(
    media: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = desk_with(debian(), media["cilium"], tmp_path, monkeypatch, capsys)
    code, said = desk.refused("cni", "switch", "--to", "cilium", "--yes")
    assert (code, "this machine is no node yet" in said) == (2, True), said


def test_every_row_is_an_owner_of_leftovers_and_knows_its_configuration() -> None:
    owners = {leftover.owner for leftover in LEFTOVERS}
    for network in NETWORKS:
        assert network.owner in owners
        assert len(network.config_paths) == 1
    assert {
        addon.name for addon in (pod_network(small_bundle(addons=(ADDONS[name],)).index) for name in NAMES) if addon
    } == {network.name for network in NETWORKS}
