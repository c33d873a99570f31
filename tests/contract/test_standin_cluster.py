"""The cluster behind the stand-ins, in namespaces of its own with a real containerd: what helm brings, kubectl shows.

A workload is ready when the node has its images and not before, and so is the node: an image that a bundle lacks is
seen without a pod ever being started.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installer.bundle.digest import Digest
from installer.bundle.reference import Reference
from tests.contract.test_standins import INIT
from tests.lab import debian
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import cilium
from tests.lab.profiles.mini import STAND_INS
from tests.lab.profiles.pieces import RUNTIME_PACKAGES
from tests.lab.toolchain import built

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a container runtime runs in namespaces")

KUBECONFIG = "/etc/kubernetes/admin.conf"
START_SECONDS = 60.0
REPORT_SECONDS = 15.0
MACHINE = """\
set -e
ip link set lo up
ip address add 10.0.24.31/32 dev lo
for folder in /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/containerd /run; do
    mkdir -p $folder
    mount -t tmpfs none $folder
done
mkdir /run/bin
PATH=/run/bin:$1:$2:$PATH
printf '#!/bin/sh\\ntest $1 = restart || exit 0\\n. /var/lib/kubelet/kubeadm-flags.env\\n%s%s' \\
    'setsid kubelet --config /var/lib/kubelet/config.yaml --kubeconfig /etc/kubernetes/kubelet.conf ' \\
    '$KUBELET_KUBEADM_ARGS >/run/kubelet.log 2>&1 &' > /run/bin/systemctl
chmod +x /run/bin/systemctl
containerd >/run/containerd.log 2>&1 &
tries=0
until ctr version >/dev/null 2>&1; do tries=$((tries + 1)); test $tries -lt 100; sleep 0.2; done
kubeadm init --config $3/kubeadm.yaml --ignore-preflight-errors=all
touch $3/ready
exec sleep 600
"""


@dataclass
class Cluster:
    """A control plane of stand-ins in the namespaces of the process ``pid``."""

    pid: int
    path: str
    folder: Path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A command on the machine."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", f"--wd={self.folder}", "--", *argv]
        env = {"PATH": f"{self.path}:{os.environ['PATH']}", "KUBECONFIG": KUBECONFIG, "HOME": "/run"}
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=60, env=env)

    def must(self, *argv: str) -> str:
        """Standard output of a command that must not fail."""
        done = self.run(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def read(self, *argv: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.must(*argv, "-o", "json"))

    def status(self, *words: str) -> dict[str, Any]:
        """The status of an object in kube-system."""
        status: dict[str, Any] = self.read("kubectl", "get", *words, "-n", "kube-system")["status"]
        return status

    def ready(self) -> dict[str, str]:
        """The node's Ready condition."""
        condition: dict[str, str] = self.status("node", "cp-1")["conditions"][0]
        return condition


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane that has no pod network and none of its images."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "kubeadm.yaml").write_text(INIT)
    (folder / "machine.sh").write_text(MACHINE)
    runtime, programs = debian.unpacked(RUNTIME_PACKAGES) / "usr" / "bin", built(STAND_INS)
    unshare = shutil.which("unshare") or "unshare"
    argv = [unshare, "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"]
    argv += [str(folder / "machine.sh"), str(programs), str(runtime), str(folder)]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            _wait(lambda: (folder / "ready").exists() or process.poll() is not None, START_SECONDS)
            assert (folder / "ready").exists(), (folder / "log").read_text()
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield Cluster(int(children[0]), f"{programs}:{runtime}", folder)
        finally:
            process.kill()


def _wait(holds: Any, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)
    return bool(holds())


def parts(name: str) -> ImageParts:
    """A tiny image of its own."""
    return image({"amd64": [layer({"name": name.encode()})]}, ImageConfig(), flavour="oci")


PARTS = {name: parts(name) for name in cilium.IMAGES}
SERVED = {name: Reference("quay.io", f"cilium/{name}", "v1.20.0", Digest("sha256:" + "0" * 64)) for name in PARTS}
IMAGES = cilium.pinned(SERVED, PARTS)
_TO = ("--namespace", "kube-system", "--values", "values.json", "--reset-values", "--timeout", "60s")
UPGRADE = ("helm", "upgrade", "--install", "cilium", "chart.tgz", *_TO)
LIST = (
    "helm",
    "list",
    "--namespace",
    "kube-system",
    "--filter",
    "^cilium$",
    "--deployed",
    "--pending",
    "--uninstalling",
)


def imported(cluster: Cluster, name: str) -> None:
    """Puts an image into the runtime under its tag and under its digest, as the installer does."""
    made, reference = PARTS[name], IMAGES[name]
    media_type, data = made.manifests[made.top]
    descriptor = {"mediaType": media_type, "digest": made.top, "size": len(data)}
    names = (str(reference.tagged), reference.pinned(Digest(made.top)))
    manifests = [{**descriptor, "annotations": {"io.containerd.image.name": name}} for name in names]
    files = {f"blobs/sha256/{digest[7:]}": blob for digest, (_, blob) in made.manifests.items()}
    files |= {f"blobs/sha256/{digest[7:]}": blob for digest, blob in made.blobs.items()}
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    with tarfile.open(cluster.folder / f"{name}.tar", "w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    cluster.must("ctr", "-n", "k8s.io", "images", "import", "--all-platforms", f"{name}.tar")


def test_a_pod_network_comes_and_goes(cluster: Cluster) -> None:
    (cluster.folder / "chart.tgz").write_bytes(cilium.packed_chart("1.20.0", IMAGES))
    (cluster.folder / "values.json").write_text('{"operator": {"replicas": 1}}')
    assert cluster.read(*LIST) == []
    assert "cni plugin not initialized" in cluster.ready()["message"]

    cluster.must(*UPGRADE)
    (found,) = cluster.read(*LIST)
    assert (found["status"], found["chart"], found["revision"]) == ("deployed", "cilium-1.20.0", "1")
    assert cluster.read("helm", "get", "values", "cilium", "--namespace", "kube-system") == {
        "operator": {"replicas": 1}
    }
    daemons = cluster.status("daemonset", "cilium")
    assert (daemons["desiredNumberScheduled"], daemons["numberReady"]) == (1, 0)

    imported(cluster, "cilium")
    assert _wait(lambda: cluster.status("daemonset", "cilium")["numberReady"] == 1, REPORT_SECONDS)
    assert _wait(lambda: cluster.ready()["status"] == "True", REPORT_SECONDS)
    assert cluster.status("daemonset", "cilium-envoy")["numberReady"] == 0
    assert cluster.status("deployment", "cilium-operator")["readyReplicas"] == 0
    imported(cluster, "operator-generic")
    assert _wait(lambda: cluster.status("deployment", "cilium-operator")["readyReplicas"] == 1, REPORT_SECONDS)

    (cluster.folder / "values.json").write_text('{"envoy": {"enabled": false}}')
    cluster.must(*UPGRADE)
    assert cluster.read(*LIST)[0]["revision"] == "2"
    gone = cluster.run("kubectl", "get", "daemonset", "cilium-envoy", "-n", "kube-system", "-o", "json")
    assert (gone.returncode, "NotFound" in gone.stderr) == (1, True)

    cluster.must("helm", "uninstall", "cilium", "--namespace", "kube-system")
    assert cluster.read(*LIST) == []
    assert cluster.read("kubectl", "get", "daemonsets", "-A")["items"] == []
    assert cluster.run("helm", "uninstall", "cilium", "--namespace", "kube-system").returncode == 1
    assert cluster.run("helm", "get", "values", "cilium", "-n", "kube-system", "-o", "json").returncode == 1


def test_an_interrupted_revision_holds_up_the_next(cluster: Cluster) -> None:
    cluster.must(*UPGRADE)
    secrets = cluster.read("kubectl", "get", "secret", "-n", "kube-system", "-l", "owner=helm,name=cilium")["items"]
    assert [secret["metadata"]["labels"]["status"] for secret in secrets] == ["deployed"]
    path = secrets[0]["metadata"]["name"]
    cluster.must("kubectl", "label", "--overwrite", "secret", path, "status=pending-upgrade", "-n", "kube-system")
    assert cluster.read(*LIST)[0]["status"] == "pending-upgrade"
    assert "another operation" in cluster.run(*UPGRADE).stderr
    selector = "owner=helm,name=cilium,status=pending-upgrade"
    cluster.must("kubectl", "delete", "secret", "--namespace", "kube-system", "--selector", selector)
    cluster.must(*UPGRADE)
    assert cluster.read(*LIST)[0]["status"] == "deployed"


def test_a_namespace_is_made_and_labelled(cluster: Cluster) -> None:
    assert cluster.run("kubectl", "get", "namespace", "site", "-o", "json").returncode == 1
    elsewhere = [word if word != "kube-system" else "site" for word in UPGRADE]
    assert 'namespaces "site" not found' in cluster.run(*elsewhere).stderr
    cluster.must("kubectl", "create", "namespace", "site")
    assert "already exists" in cluster.run("kubectl", "create", "namespace", "site").stderr
    cluster.must("kubectl", "label", "--overwrite", "namespace", "site", "a=b", "example.org/c=d")
    found = cluster.read("kubectl", "get", "namespace", "site")
    assert found["metadata"]["labels"] == {"a": "b", "example.org/c": "d"}
    assert found["status"]["phase"] == "Active"


def test_the_objects_of_another_release_are_not_taken_over(cluster: Cluster) -> None:
    refused = cluster.run(*(word if word != "cilium" else "other" for word in UPGRADE))
    assert refused.returncode == 1
    assert "cannot be imported into the current release" in refused.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ("kubectl", "get", "things", "-n", "kube-system"),
        ("kubectl", "create", "configmap", "a"),
        ("kubectl", "delete", "secret", "-n", "kube-system"),
        ("kubectl", "delete", "secret", "none", "-n", "kube-system"),
        ("kubectl", "label", "namespace", "none", "a=b"),
        ("helm", "upgrade", "none", "chart.tgz", "--namespace", "kube-system", "--reset-values"),
        ("helm", "upgrade", "cilium", "chart.tgz", "--install", "--wait"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_or_not_known_is_refused(cluster: Cluster, argv: tuple[str, ...]) -> None:
    done = cluster.run(*argv)
    assert (done.returncode, done.stderr != "") == (1, True), done.stdout
