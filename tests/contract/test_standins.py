"""The stand-ins for Kubernetes' programs are asked what the real ones are asked, and must refuse the same.

Every case says what the answer must be. It is put to the stand-in, and to the program compiled from upstream's source
where that is in the lab's cache (``python -m tests.lab serve --profile real`` puts it there): so the cases are proven
on the real thing, and the stand-in on the cases.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.compiled import compiled
from tests.lab import debian
from tests.lab.profiles import IMAGES
from tests.lab.profiles.compiled import BUILDS
from tests.lab.profiles.mini import STAND_INS
from tests.lab.profiles.pieces import RUNTIME_PACKAGES
from tests.lab.toolchain import built, built_already

KUBERNETES_BUILD = next(build for build in BUILDS if build.module == "kubernetes")
INIT = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 10.0.24.31}
nodeRegistration:
  name: cp-1
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: Never
  kubeletExtraArgs: {node-ip: 10.0.24.31}
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.30.14
controlPlaneEndpoint: 10.0.24.31:6443
networking: {podSubnet: 10.244.0.0/16}
apiServer: {certSANs: [localhost], timeoutForControlPlane: 600s, extraArgs: {v: "2"}}
etcd: {local: {dataDir: /var/lib/etcd, extraArgs: {heartbeat-interval: "500"}}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
"""
JOIN = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: JoinConfiguration
nodeRegistration: {name: w-1, criSocket: "unix:///run/containerd/containerd.sock"}
discovery:
  timeout: 300s
  bootstrapToken:
    token: abcdef.0123456789abcdef
    apiServerEndpoint: 10.0.24.31:6443
    caCertHashes: ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
"""


@pytest.fixture(params=["stand-in", "real"])
def programs(request: pytest.FixtureRequest) -> Path:
    """The folder of the programs that are asked."""
    if request.param == "stand-in":
        return built(STAND_INS)
    return compiled(KUBERNETES_BUILD)


def ask(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in an empty environment that names no proxy and no cluster."""
    return subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


def validate(programs: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """``kubeadm config validate`` of ``text``."""
    path = folder / "kubeadm.yaml"
    path.write_text(text, encoding="utf-8")
    return ask(programs / "kubeadm", "config", "validate", "--config", str(path))


@pytest.mark.parametrize("text", [INIT, JOIN], ids=["init", "join"])
def test_a_good_configuration_is_taken(programs: Path, tmp_path: Path, text: str) -> None:
    done = validate(programs, tmp_path, text)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("kind: InitConfiguration", "kind: InitConfiguration\nbogus: 1", "bogus"),
        ("criSocket:", "criSockets: x\n  criSocket:", "criSockets"),
        ("podSubnet:", "podSubnets: 10.0.0.0/8, podSubnet:", "podSubnets"),
        ("extraArgs: {v:", "extraArg: {}, extraArgs: {v:", "extraArg"),
        ('extraArgs: {v: "2"}', 'extraArgs: [{name: v, value: "2"}]', ""),
        ("timeoutForControlPlane: 600s", "timeouts: {x: 600s}", "timeouts"),
        ("cgroupDriver: systemd", "cgroupDrivers: systemd", "cgroupDrivers"),
        ("mode: iptables", "modes: iptables", "modes"),
        ("kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4", "experimental"),
        ("kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta2", "old API spec"),
        ("kind: InitConfiguration", "kind: InitConfigurations", "InitConfigurations"),
        ("10.0.24.31}", "300.1.1.1}", "300.1.1.1"),
        ("imagePullPolicy: Never", "imagePullPolicy: Sometimes", "Sometimes"),
        ("kind: ClusterConfiguration", "kind: InitConfiguration", ""),
        ("kubernetesVersion: v1.30.14", "kubernetesVersion: thirty", "thirty"),
        ("networking: {podSubnet: 10.244.0.0/16}", "networking: [", ""),
    ],
)
def test_a_bad_configuration_is_refused(programs: Path, tmp_path: Path, good: str, bad: str, told: str) -> None:
    assert good in INIT
    done = validate(programs, tmp_path, INIT.replace(good, bad))
    assert done.returncode != 0, done.stdout
    assert told in done.stderr


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("abcdef.0123456789abcdef", "abcdef", "token"),
        ('caCertHashes: ["sha256:' + "0" * 64 + '"]', "caCertHashes: []", "unsafeSkipCAVerification"),
        ("timeout: 300s", "timeouts: 300s", "timeouts"),
    ],
)
def test_a_bad_join_configuration_is_refused(programs: Path, tmp_path: Path, good: str, bad: str, told: str) -> None:
    assert good in JOIN
    done = validate(programs, tmp_path, JOIN.replace(good, bad))
    assert done.returncode != 0, done.stdout
    assert told in done.stderr


def test_the_image_list_is_the_real_one(programs: Path) -> None:
    done = ask(programs / "kubeadm", "config", "images", "list", "--kubernetes-version", "v1.30.14")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(f"registry.k8s.io/{name}:{tag}" for name, tag in IMAGES.items())


def test_another_repository_flattens_coredns(programs: Path) -> None:
    arguments = ("config", "images", "list", "--kubernetes-version", "v1.30.14", "--image-repository", "reg.local/k8s")
    assert "reg.local/k8s/coredns:v1.11.3" in ask(programs / "kubeadm", *arguments).stdout.split()


@pytest.mark.parametrize("program", ["kubeadm", "kubelet", "kubectl"])
def test_the_version_is_told_in_the_form_the_installer_reads(programs: Path, program: str) -> None:
    arguments = {
        "kubeadm": ("version", "-o", "short"),
        "kubelet": ("--version",),
        "kubectl": ("version", "--client", "-o", "json"),
    }[program]
    said = ask(programs / program, *arguments).stdout
    wanted = {"kubeadm": r"v1\.30\.14\n", "kubelet": r"Kubernetes v1\.30\.14\n"}
    assert re.fullmatch(wanted.get(program, r'.*"gitVersion": "v1\.30\.14".*'), said, re.DOTALL)


@pytest.mark.parametrize(
    "argv",
    [
        ("kubeadm", "bogus"),
        ("kubeadm", "init", "--bogus"),
        ("kubeadm", "init", "--pod-infra-container-image=x"),
        ("kubeadm", "join", "--upload-certs"),
        ("kubeadm", "config", "images", "list", "--kubernetes-version", "thirty"),
        ("kubeadm", "config", "images", "list", "-o", "toml"),
        ("kubeadm", "config", "validate"),
        ("kubeadm", "config", "validate", "--config", "/nonexistent"),
        ("kubeadm", "reset", "--forced"),
        ("kubeadm", "token", "bogus"),
        ("kubelet", "--bogus"),
        ("kubelet", "--container-runtime=remote"),
        ("kubelet", "--network-plugin=cni"),
        ("kubelet", "--config=/nonexistent"),
        ("kubelet", "bogus"),
        ("kubectl", "--bogus"),
        ("kubectl", "bogus"),
        ("kubectl", "--kubeconfig", "/nonexistent", "get", "nodes"),
    ],
    ids=" ".join,
)
def test_what_the_real_ones_refuse_is_refused(programs: Path, argv: Sequence[str]) -> None:
    done = ask(programs / argv[0], *argv[1:])
    assert done.returncode != 0, done.stdout
    assert done.stderr


_CRICTL = "printf '#!/bin/sh\\n%s\\n' > /run/bin/crictl; chmod +x /run/bin/crictl"
_FORWARDING = "echo 1 > /proc/sys/net/ipv4/ip_forward"
_LISTENER = "import socket, time; held = socket.create_server(('', 10250)); time.sleep(10)"
SITUATIONS = {
    "bare": ("FileExisting-crictl", ""),
    "forwarding": ("FileExisting-crictl", _FORWARDING),
    "leftovers": (
        "DirAvailable--var-lib-etcd",
        "mkdir -p /etc/kubernetes/manifests /var/lib/etcd/member; touch /etc/kubernetes/manifests/etcd.yaml",
    ),
    "runtime that does not answer": ("CRI", _CRICTL % "exit 1"),
    "no conntrack": ("FileExisting-conntrack", "rm /run/bin/conntrack"),
    "port in use": ("Port-10250", f'{sys.executable} -c "{_LISTENER}" >/dev/null 2>&1 & sleep 1'),
    "images missing and not to be had": ("ImagePull", f"{_FORWARDING}; " + _CRICTL % 'test "$5" = info'),
}
"""Each with one error that it must give, and the shell commands that make it so."""
_PRIVATE = """\
set -e
ip link set lo up
for folder in /etc/kubernetes /var/lib/kubelet /var/lib/etcd /run; do
    mkdir -p $folder
    mount -t tmpfs none $folder
done
mkdir /run/bin
for tool in conntrack iptables; do printf '#!/bin/sh\\n' > /run/bin/$tool; chmod +x /run/bin/$tool; done
cp "$1/kubelet" /run/bin/
export PATH=/run/bin:$PATH
%s
exec "$1/kubeadm" "$2" phase preflight --config "$3"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the checks run in namespaces of their own")
@pytest.mark.parametrize("situation", list(SITUATIONS))
def test_preflight_finds_the_same_errors(tmp_path: Path, situation: str) -> None:
    real = built_already(KUBERNETES_BUILD)
    stand_in = built(STAND_INS)
    found = {folder: _preflight(folder, tmp_path, situation) for folder in (stand_in, real) if folder is not None}
    assert SITUATIONS[situation][0] in found[stand_in]
    assert found[stand_in] == found[compiled(KUBERNETES_BUILD)]


def _preflight(programs: Path, folder: Path, situation: str) -> set[str]:
    """The names of the errors that ``kubeadm init phase preflight`` finds in a situation made in new namespaces."""
    config = folder / "kubeadm.yaml"
    config.write_text(INIT.replace("imagePullPolicy: Never", "imagePullPolicy: IfNotPresent"), encoding="utf-8")
    script = folder / "situation.sh"
    script.write_text(_PRIVATE % SITUATIONS[situation][1], encoding="utf-8")
    unshare = shutil.which("unshare")
    assert unshare is not None
    argv = [unshare, "--mount", "--net", "sh", str(script), str(programs), "init", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    return set(re.findall(r"\[ERROR ([^\]]+)\]", done.stderr))


_RUNTIME = """\
set -e
ip link set lo up
for folder in /run /var/lib/containerd; do mkdir -p $folder; mount -t tmpfs none $folder; done
PATH=$1:$PATH
containerd >/dev/null 2>&1 &
tries=0
until ctr version >/dev/null 2>&1; do tries=$((tries + 1)); test $tries -lt 50; sleep 0.2; done
shift
for crictl; do
    for question in "info -o json" "images -o json" "pods -o json" "ps -a -o json" "inspecti reg.local/none:1"; do
        $crictl --runtime-endpoint unix:///run/containerd/containerd.sock $question 2>/dev/null || echo '"refused"'
        printf '\\0'
    done
done
kill $!
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a container runtime runs in namespaces of its own")
def test_crictl_tells_what_the_real_one_tells(tmp_path: Path) -> None:
    real = built_already(next(build for build in BUILDS if build.module == "crictl"))
    script = tmp_path / "runtime.sh"
    script.write_text(_RUNTIME, encoding="utf-8")
    unshare = shutil.which("unshare")
    assert unshare is not None
    folders = [built(STAND_INS), *([real] if real else [])]
    runtime = debian.unpacked(RUNTIME_PACKAGES) / "usr" / "bin"
    argv = [unshare, "--mount", "--net", "--pid", "--fork", "--mount-proc", "sh", str(script), str(runtime)]
    argv += [str(folder / "crictl") for folder in folders]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    answers = [json.loads(answer) for answer in done.stdout.split("\0")[:-1]]
    assert len(answers) == 5 * len(folders), done.stderr
    assert [condition["type"] for condition in answers[0]["status"]["conditions"]] == ["RuntimeReady", "NetworkReady"]
    assert answers[4] == "refused"
    compiled("crictl")
    assert answers[:5] == answers[5:]
