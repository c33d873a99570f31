"""A fake Debian machine: a strict :class:`FakeNode` whose programs keep state, so that a whole install can run on it.

What matters is modelled as the real programs behave: systemd knows a unit's file only after a reload, containerd reads
its configuration only when it starts, a module's sysctls appear with the module, kubeadm refuses what an earlier
attempt left, ``ctr`` takes a real tar.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from installer.bundle.digest import Digest
from installer.join import format_time
from installer.node import CommandResult
from installer.render import containerd, haproxy, route
from tests.fakes.certificate import CA_PEM
from tests.fakes.cluster import Cluster
from tests.fakes.network import Network
from tests.fakes.node import FakeNode
from tests.fakes.sandboxes import Sandbox, crictl_pods
from tests.fakes.systemd import WANTS, Systemd, Unit

KERNEL = "6.1.0-37-cloud-amd64"
_MODULES = ("overlay", "br_netfilter", "nf_conntrack", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh")
_BRIDGE_KEYS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")
_STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_FAMILIES = ("iptables", "ip6tables")
_BIN = "/usr/local/bin"
KUBEADMS_COREFILE = """.:53 {
    errors
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
}
"""
_CTR = (f"{_BIN}/ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io")


_GRACE_SECONDS = 50
_ALREADY_READY = (
    'error execution phase kubelet-start: a Node with name "{name}" and status "Ready" already exists in the cluster. '
    "You must delete the existing Node or change the name of this new joining Node\n"
)


_MANAGED = "io.cri-containerd.image=managed"


@dataclass
class StoredName:
    """A name in containerd's image store."""

    digest: str
    labels: list[str] = field(default_factory=lambda: [_MANAGED])
    whole: bool = True


@dataclass
class Machine:
    """The machine; ``node`` is what steps are given. ``kubeadm_pause`` is what the placed kubeadm lists."""

    node: FakeNode = field(default_factory=FakeNode)
    units: dict[str, Unit] = field(default_factory=dict)
    net: Network = field(default_factory=Network)
    namespaces: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, StoredName] = field(default_factory=dict)
    kubeadm_pause: str = "registry.k8s.io/pause:3.9"
    loaded_config: str = ""
    ready: str = "False"
    ready_message: str = "container runtime network not ready: NetworkReady=false reason: cni plugin not initialized"
    kubeadm_configs: list[str] = field(default_factory=list)
    fail_kubeadm_once: bool = False
    fail_kubeadm_late: bool = False
    """The first run fails too, after everything on this node is done and its kubelet runs."""
    kubeadm_failure: str = "error: timed out waiting for the condition"
    registers_in_seconds: float = 0.0
    registered_at_seconds: float = float("inf")
    default_route: bool = False
    network: str = ""
    """The workload that is the pod network: the node is Ready once it is."""
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    containers: dict[str, bool] = field(default_factory=dict)
    """What was made with ``ctr run``: by name, whether it has a task."""

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.node)
        self.systemd = Systemd(self.node, self._started, self.units)
        self.node.make_dir(WANTS)
        self.node.with_files(
            {
                "/proc/sys/kernel/osrelease": KERNEL,
                "/proc/modules": "",
                "/proc/filesystems": "nodev\tproc\n\text4\n",
                f"/lib/modules/{KERNEL}/modules.dep": "".join(f"kernel/{name}.ko: \n" for name in _MODULES),
                f"/lib/modules/{KERNEL}/modules.builtin": "",
                "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1048572 0 -2\n",
                "/dev/sda2": "",
                "/etc/fstab": "UUID=1 / ext4 defaults 0 1\nUUID=2\tnone\tswap\tsw\t0 0\n",
                "/proc/sys/fs/inotify/max_user_instances": "128\n",
                "/proc/sys/fs/inotify/max_user_watches": "1048576\n",
                "/proc/sys/net/ipv4/ip_forward": "0\n",
                "/proc/sys/net/ipv4/neigh/default/gc_thresh1": "128\n",
                "/proc/sys/net/ipv4/neigh/default/gc_thresh2": "512\n",
                "/proc/sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
            }
        )
        for program, handler in (
            ("modprobe", self._modprobe),
            ("sysctl", self._sysctl),
            ("swapoff", self._swapoff),
            ("ip", self._ip),
            ("swapon", self._swapon),
            ("systemctl", self.systemd.systemctl),
            *((f"{family}-{what}", self.net.filter) for family in _FAMILIES for what in ("save", "restore")),
            ("nft", self.net.nft),
            ("ipset", self.net.ipset),
            ("ipvsadm", self.net.ipvsadm),
            (f"{_BIN}/containerd", self._containerd),
            (f"{_BIN}/ctr", self._ctr),
            (f"{_BIN}/crictl", self._crictl),
            (f"{_BIN}/kubeadm", self._kubeadm),
            (f"{_BIN}/kubectl", self._kubectl),
            (f"{_BIN}/helm", self.cluster.helm),
        ):
            self.node.script([program], then=self._answering(handler))

    @property
    def changes(self) -> list[tuple[str, ...]]:
        """The commands that ran and are no queries."""
        looking = ("show", "is-enabled", "list-units", "dump", "ls", "check", "info", "inspecti", "list", "get")
        return [words for words in self.node.ran if not any(word in looking for word in words)]

    def with_site_containerd(self, config: str | None, version: str = "1.7.24") -> Machine:
        """A containerd from a package, running with ``config``; what it shows as in force is that file."""
        for program in ("/usr/bin/containerd", "/usr/bin/ctr", "/usr/sbin/runc"):
            self.node.write_file(program, b"the site's", mode=0o755)
        said = f"containerd github.com/containerd/containerd {version}~ds1 {version}~ds1-1\n"
        self.node.script(["/usr/bin/containerd", "--version"], said)
        self.node.script(["/usr/bin/containerd"], then=self._answering(self._containerd))
        self.node.script(["/usr/bin/ctr"], then=self._answering(self._ctr))
        if config is not None:
            self.node.with_files({containerd.CONFIG_PATH: config})
        unit = self.units.setdefault("containerd.service", Unit(enabled=True, program="/usr/bin/containerd"))
        assert unit.program
        self.systemd.start("containerd.service")
        return self

    def load(self, *modules: str) -> None:
        """Loads kernel modules, with what appears under /proc."""
        for name in modules:
            listed = self.node.read_text("/proc/modules") or ""
            self.node.with_files({"/proc/modules": f"{listed}{name} 16384 0 - Live 0x0\n"})
            if name == "br_netfilter":
                self.node.with_files({f"/proc/sys/net/bridge/{key}": "0\n" for key in _BRIDGE_KEYS})

    def _answering(
        self, handler: Callable[[tuple[str, ...], bytes], str | CommandResult]
    ) -> Callable[[FakeNode, bytes], CommandResult]:
        def answer(node: FakeNode, stdin: bytes) -> CommandResult:
            words = node.ran[-1]
            if words[0].startswith("/") and node.stat(words[0]) is None:
                return CommandResult(words, 127, "", f"{words[0]}: no such program")
            said = handler(words, stdin)
            return said if isinstance(said, CommandResult) else CommandResult(words, 0, said, "")

        return answer

    def _modprobe(self, words: tuple[str, ...], _stdin: bytes) -> str:
        assert f"/{words[1]}.ko" in (self.node.read_text(f"/lib/modules/{KERNEL}/modules.dep") or "")
        self.load(words[1])
        return ""

    def _sysctl(self, words: tuple[str, ...], _stdin: bytes) -> str:
        key, _, value = words[3].partition("=")
        path = "/proc/sys/" + key.replace(".", "/")
        assert self.node.stat(path), f"no such key: {key}"
        self.node.with_files({path: f"{value}\n"})
        return ""

    def _ip(self, words: tuple[str, ...], _stdin: bytes) -> str | CommandResult:
        """The route to a Service: the machine's default one, or that of the unit once it has been started."""
        if words[:4] != ("ip", "-j", "route", "get"):
            return self.net.ip(words)
        if self.units.get(route.UNIT, Unit()).pid:
            return json.dumps([{"dst": words[4], "dev": route.INTERFACE}])
        if self.default_route:
            return json.dumps([{"dst": words[4], "gateway": "10.0.24.1", "dev": "eth0"}])
        return CommandResult(words, 2, "", "RTNETLINK answers: Network is unreachable")

    def _swapoff(self, _words: tuple[str, ...], _stdin: bytes) -> str:
        self.node.with_files({"/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n"})
        return ""

    def _swapon(self, words: tuple[str, ...], _stdin: bytes) -> str:
        listed = self.node.read_text("/proc/swaps") or ""
        self.node.with_files({"/proc/swaps": f"{listed}{words[-1]} partition 1048572 0 -2\n"})
        return ""

    def _started(self, name: str) -> None:
        if name == "containerd.service":
            self.loaded_config = self.node.read_text(containerd.CONFIG_PATH) or ""
        if name == "kubelet.service":
            self.listen()

    def _containerd(self, words: tuple[str, ...], _stdin: bytes) -> str:
        path = words[2] if words[1] == "--config" else containerd.CONFIG_PATH
        return self.node.read_text(path) or 'root = "/var/lib/containerd"\n'

    def _ctr(self, words: tuple[str, ...], stdin: bytes) -> str | CommandResult:  # noqa: PLR0911 - one for each verb
        if not self.units.get("containerd.service", Unit()).pid:
            return CommandResult(words, 1, "", "ctr: failed to dial")
        if words[-1] == "-q":
            return "".join(f"{name}\n" for name in self._names(words))
        assert words[1 : len(_CTR)] == _CTR[1:]
        kind, verb, *rest = (*words[len(_CTR) :], "")
        if kind in ("run", "containers", "tasks"):
            return self._container(words, kind, verb, rest)
        rest = rest[:-1]
        if verb == "rm":
            for name in rest:
                del self.images[name]
            return ""
        if verb == "ls":
            return "REF TYPE DIGEST SIZE PLATFORMS LABELS\n" + "".join(
                f"{name} application/index {found.digest} 1.2 KiB linux/amd64 {','.join(found.labels) or '-'}\n"
                for name, found in self.images.items()
            )
        if verb == "check":
            return "REF TYPE DIGEST STATUS SIZE UNPACKED\n" + "".join(
                f"{name} application/index {found.digest} {'complete (2/2)' if found.whole else 'incomplete (1/2)'}"
                f" 9 B/9 B {'true' if found.whole else 'false'}\n"
                for name, found in self.images.items()
            )
        if verb == "import":
            self._import(stdin, [label for flag, label in pairwise(rest) if flag == "--label"])
        elif verb == "label":
            self._label(*rest)
        return ""

    def _names(self, words: tuple[str, ...]) -> list[str]:
        if words[3] == "namespaces":
            return sorted({*self.namespaces, "k8s.io"})
        if words[5] != "images":
            return []
        return list(self.images) if words[4] == "k8s.io" else self.namespaces[words[4]]

    def _container(self, words: tuple[str, ...], kind: str, verb: str, rest: list[str]) -> str | CommandResult:
        """``ctr run``, ``containers`` and ``tasks`` as containerd has them: a container with a task cannot go."""
        if kind == "run":
            if "--net-host" in words and not self.node.stat("/etc/resolv.conf"):
                return CommandResult(words, 1, "", 'ctr: error mounting "/etc/resolv.conf": no such file or directory')
            image, name = rest[-len(haproxy.COMMAND) - 3 :][:2]
            assert image in self.images
            assert self.node.stat(haproxy.CONFIG_PATH), "bind mounts need their source"
            if name in self.containers:
                return CommandResult(words, 1, "", f'ctr: snapshot "{name}": already exists')
            self.containers[name] = True
        elif verb == "ls":
            return "".join(f"{name}\n" for name, runs in self.containers.items() if runs or kind == "containers")
        elif kind == "tasks":
            self.containers[rest[1]] = False
        elif self.containers[rest[0]]:
            return CommandResult(words, 1, "", "ctr: cannot delete a non stopped container")
        else:
            del self.containers[rest[0]]
        self.listen()
        return ""

    def listen(self) -> None:
        """What /proc tells of listening ports: the endpoint's, while some HAProxy runs."""
        pod = self.node.stat(haproxy.MANIFEST_PATH) and self.units.get("kubelet.service", Unit()).pid
        row = "   0: 0100007F:403B 00000000:0000 0A\n" if pod or any(self.containers.values()) else ""
        self.node.with_files({"/proc/net/tcp": f"  sl  local_address rem_address   st\n{row}"})

    def _import(self, tar: bytes, labels: list[str]) -> None:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            members = {member.name: archive.extractfile(member) for member in archive}
            blobs = {name: stream.read() for name, stream in members.items() if stream is not None}
        for name, data in blobs.items():
            assert not name.startswith("blobs/") or name.rpartition("/")[2] == Digest.of(data).hex
        for entry in json.loads(blobs["index.json"])["manifests"]:
            assert f"blobs/sha256/{entry['digest'].partition(':')[2]}" in blobs
            self.images[entry["annotations"]["io.containerd.image.name"]] = StoredName(
                entry["digest"], [_MANAGED, *labels]
            )

    def _label(self, name: str, label: str) -> None:
        key, _, value = label.partition("=")
        if not value and name == containerd.sandbox_of(tomllib.loads(self.loaded_config)):
            return  # the CRI plugin pins its sandbox image itself, and again when somebody takes the pin off
        labels = [kept for kept in self.images[name].labels if not kept.startswith(f"{key}=")]
        self.images[name].labels = [*labels, label] if value else labels

    def _crictl(self, words: tuple[str, ...], _stdin: bytes) -> str:
        if words[3] in ("pods", "inspectp", "stopp"):
            return crictl_pods(self.node, self.sandboxes, words)
        assert words[1:4] == ("--runtime-endpoint", "unix:///run/containerd/containerd.sock", "info")
        named = containerd.sandbox_of(tomllib.loads(self.loaded_config))
        return json.dumps({"status": {}, "config": {"sandboxImage": named or "registry.k8s.io/pause:3.8"}})

    def _kubeadm(self, words: tuple[str, ...], _stdin: bytes) -> str | CommandResult:
        if words[1:4] == ("config", "images", "list"):
            assert words[4:] == ("--kubernetes-version", "v1.30.14")
            return f"registry.k8s.io/kube-apiserver:v1.30.14\n{self.kubeadm_pause}\nregistry.k8s.io/etcd:3.5.15-0\n"
        if words[1] == "reset":
            self.units["kubelet.service"].pid = 0
            for path in list(self.node.files()):
                if path.startswith(("/etc/kubernetes/", "/var/lib/kubelet/", "/var/lib/etcd/")):
                    self.node.remove(path)
            return ""
        config = words[words.index("--config") + 1]
        found = self.node.stat(config)
        assert found and found.mode == 0o600, "secrets belong into a file nobody else can read"
        text = self.node.read_text(config) or ""
        self.kubeadm_configs.append(text)
        documents = list(yaml.safe_load_all(text))
        if words[1:3] == ("token", "create"):
            self._token(documents[0])
            return f"{documents[0]['bootstrapTokens'][0]['token']}\n"
        if words[1:4] == ("init", "phase", "upload-certs"):
            return ""
        if words[1] == "init":
            self.cluster.has_kube_proxy = "addon/kube-proxy" not in documents[0].get("skipPhases", ())
        return self._init_or_join(words, documents[0])

    def _init_or_join(self, words: tuple[str, ...], document: dict[str, Any]) -> str | CommandResult:
        ignored = [word for word in words if word.startswith("--ignore-preflight-errors=")]
        if self.node.stat("/etc/kubernetes/pki/ca.crt") and not ignored:
            return CommandResult(words, 1, "", "[ERROR FileAvailable--etc-kubernetes-pki-ca.crt]: exists")
        self._demand_endpoint(words[1], document)
        if words[1] == "join" and self._is_ready():
            name = document["nodeRegistration"]["name"]
            return CommandResult(words, 1, "", _ALREADY_READY.format(name=name))
        self.node.with_files({"/etc/kubernetes/pki/ca.crt": CA_PEM})
        if self.fail_kubeadm_once and not self.fail_kubeadm_late:
            self.fail_kubeadm_once = False
            self.node.clock_seconds += 240
            return CommandResult(words, 1, "", self.kubeadm_failure)
        pods = _STATIC_PODS if words[1] == "init" or "controlPlane" in document else ()
        self.node.with_files({f"/etc/kubernetes/manifests/{name}.yaml": "pod" for name in pods})
        self.node.with_files({"/etc/kubernetes/kubelet.conf": "k", "/var/lib/kubelet/config.yaml": "k"})
        if pods:
            self.node.with_files({"/etc/kubernetes/admin.conf": "k"})
        if words[1] == "init":
            self.cluster.configmaps["kube-system/coredns"] = {"Corefile": KUBEADMS_COREFILE}
        if pods:  # etcd's folder stays when kubeadm's own reset has emptied it
            self.node.with_files({"/var/lib/etcd/member/snap/db": "d"})
        self.systemd.start("kubelet.service")
        self.registered_at_seconds = self.node.clock_seconds + self.registers_in_seconds
        if self.fail_kubeadm_once:
            self.fail_kubeadm_once = False
            return CommandResult(words, 1, "", self.kubeadm_failure)
        return ""

    def _is_ready(self) -> bool:
        """What the API says: a kubelet that stopped is taken for Ready until it has not reported for a while."""
        unit = self.units.get("kubelet.service", Unit())
        reported = unit.pid != 0 or self.node.clock_seconds - unit.stopped_at_seconds < _GRACE_SECONDS
        return self.ready == "True" and reported and self.registered_at_seconds <= self.node.clock_seconds

    def _demand_endpoint(self, verb: str, document: dict[str, Any]) -> None:
        """As kubeadm: joining asks at the endpoint, before any kubelet runs."""
        if verb == "join" and "k8s-api:" in document["discovery"]["bootstrapToken"]["apiServerEndpoint"]:
            assert "127.0.0.1\tk8s-api\n" in (self.node.read_text("/etc/hosts") or "")
            assert ":403B" in (self.node.read_text("/proc/net/tcp") or ""), "nobody listens at the endpoint"

    def _token(self, document: dict[str, object]) -> None:
        assert document["kind"] == "InitConfiguration"

    def _kubectl(self, words: tuple[str, ...], _stdin: bytes) -> str | CommandResult:
        if words[4] == "node":
            if self.node.clock_seconds < self.registered_at_seconds:
                return CommandResult(words, 1, "", f'Error from server (NotFound): nodes "{words[5]}" not found')
            ready = "True" if self.network and self.cluster.is_ready(self.network) else self.ready
            condition = {"type": "Ready", "status": ready, "message": self.ready_message}
            return json.dumps({"status": {"conditions": [condition]}})
        if words[4] != "secret" or words[3] != "get":
            return self.cluster.kubectl(words)
        if words[5] == "kubeadm-certs":
            return "bootstrap-token-certkey"
        return self._kubectl_secret(words[5])

    def _kubectl_secret(self, name: str) -> str:
        """When a token's secret says that it ends."""
        assert name.startswith("bootstrap-token-")
        hours = 2 if name.endswith("certkey") else 24
        return base64.b64encode(format_time(self.node.clock_seconds + hours * 3600).encode()).decode()
