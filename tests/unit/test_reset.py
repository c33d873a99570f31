"""The reset verb on a fake Debian machine: everything of ours goes, everything of the site stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from installer.installed import PATH as RECORD_PATH
from installer.journal import read_kept, read_runs
from installer.render.fstab import PATH as FSTAB
from tests.fakes.desk import Desk, cut_off_after_each_step
from tests.fakes.network import PacketFilter
from tests.fakes.systemd import Unit
from tests.unit.test_leftovers import KUBERNETES, SITE, link, merged


def live(desk: Desk) -> dict[str, Any]:
    """What is not on the disk: units, swap, sysctls, network."""
    node, network = desk.machine.node, desk.machine.net
    units = {name: (unit.enabled, unit.masked, unit.pid != 0) for name, unit in desk.machine.units.items()}
    proc = {path: data for path, data in node.files().items() if path.startswith("/proc/sys/") and "bridge" not in path}
    return {
        "units": {name: state for name, state in units.items() if any(state)},
        "swaps": (node.read_text("/proc/swaps") or "").split(),
        "sysctls": proc,
        "rules": {name: found.saved() for name, found in network.filters.items()},
        "links": network.links,
    }


def in_use(desk: Desk) -> None:
    """What a cluster that runs for a while leaves: data, rules, interfaces."""
    desk.machine.node.with_files({"/var/lib/containerd/blob": "b", "/var/lib/kubelet/pods/x": "p"})
    desk.machine.node.make_dir("/opt/containerd/lib")
    desk.machine.node.make_dir("/usr/libexec/kubernetes/kubelet-plugins/volume/exec")
    network = desk.machine.net
    network.filters["iptables"] = PacketFilter(merged(SITE, KUBERNETES))
    network.nft_tables = ["ip filter", "ip kube-proxy"]
    network.links = [
        link("eth0", ""),
        link("cilium_net", "veth", peer="cilium_host"),
        link("cilium_host", "veth", peer="cilium_net"),
    ]


def a_site(desk: Desk) -> None:
    """What the site has of its own before anything is installed."""
    desk.machine.node.make_dir("/usr/libexec")
    desk.machine.net.filters["iptables"] = PacketFilter(SITE)
    desk.machine.net.links = [link("eth0", "")]
    desk.machine.units["dev-sda2.swap"] = Unit()


def test_reset_lists_asks_and_leaves_everything_as_it_was_before_the_install(desk: Desk) -> None:
    a_site(desk)
    before, lived = desk.machine.node.entries(), live(desk)
    assert desk.run("--role", "cp")[0] == 0
    assert live(desk)["swaps"] != lived["swaps"]
    in_use(desk)
    code, said = desk.run("reset")
    assert (code, "not confirmed" in said) == (2, True)
    assert "remove /usr/local/bin/kubelet" in said
    assert "iptables filter: delete 8 chains, CILIUM_INPUT" in said
    assert "delete table ip kube-proxy" in said
    assert "swapon /dev/sda2" in said
    assert all(len(line) <= 80 or " " not in line[8:] for line in said.splitlines()), said
    assert desk.machine.node.files() == desk.before
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert desk.machine.node.entries() == before
    assert live(desk) == lived
    assert desk.machine.net.nft_tables == ["ip filter"]
    code, said = desk.run("reset", "--yes")
    assert (code, "nothing of this tool to remove" in said) == (2, True)


@pytest.mark.parametrize("was", ["absent", "empty"])
def test_etcds_folder_is_after_a_reset_what_it_was_before_the_install(desk: Desk, was: str) -> None:
    if was == "empty":
        desk.machine.node.make_dir("/var/lib/etcd")
    before = desk.machine.node.entries()
    assert desk.run("--role", "cp")[0] == 0
    assert desk.run("reset", "--yes")[0] == 0
    assert {path for path in desk.machine.node.entries() if path.startswith("/var/lib/etcd")} == {
        path for path in before if path.startswith("/var/lib/etcd")
    }, "kubeadm's reset empties the folder and lets it stay"


def test_after_a_reset_install_works_again(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    first = desk.machine.node.files()
    assert desk.run("reset", "--yes")[0] == 0
    assert desk.run("--role", "cp")[0] == 0
    assert set(desk.machine.node.files()) - set(first) == set()


def test_folders_that_held_something_before_are_left_alone(desk: Desk) -> None:
    desk.machine.node.with_files({"/etc/cni/net.d/99-site.conf": "theirs"})
    assert desk.run("--role", "cp")[0] == 3, "pods would be connected by it"
    assert desk.run("--role", "cp", "--ignore", "old-network")[0] == 0
    code, said = desk.run("reset", "--yes")
    assert (code, "/etc/cni/net.d held something before" in said) == (0, True)
    assert desk.machine.node.read_text("/etc/cni/net.d/99-site.conf") == "theirs"


def test_trap_3_swap_comes_back_with_units_and_services_that_made_it(desk: Desk) -> None:
    desk.machine.units |= {"dev-zram0.swap": Unit(), "zramswap.service": Unit(enabled=True, pid=7)}
    assert desk.run("--role", "cp")[0] == 0
    units = desk.machine.units
    assert (units["dev-zram0.swap"].masked, units["zramswap.service"].enabled) == (True, False)
    assert desk.run("reset", "--yes")[0] == 0
    assert (units["dev-zram0.swap"].masked, units["zramswap.service"].enabled) == (False, True)
    assert units["zramswap.service"].pid
    assert "/dev/sda2" in (desk.machine.node.read_text("/proc/swaps") or "")


def test_what_others_wrote_since_into_shared_files_stays(desk: Desk) -> None:
    node = desk.machine.node
    node.with_files({"/etc/hosts": "127.0.0.1 localhost\n"})
    fstab = node.read_text(FSTAB) or ""
    assert desk.run("--role", "cp")[0] == 0
    node.write_file("/etc/hosts", (node.read_bytes("/etc/hosts") or b"") + b"10.9.9.9 printer\n")
    node.write_file(FSTAB, (node.read_bytes(FSTAB) or b"") + b"UUID=7 /data xfs defaults 0 2\n")
    code, said = desk.run("reset", "--yes")
    assert code == 0
    assert "take this tool's lines out of /etc/hosts, changed since by" in said
    assert node.read_text("/etc/hosts") == "127.0.0.1 localhost\n10.9.9.9 printer\n"
    assert node.read_text(FSTAB) == fstab + "UUID=7 /data xfs defaults 0 2\n"


def test_a_file_of_ours_that_somebody_edited_is_kept_in_the_journal(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    desk.machine.node.with_files({"/etc/containerd/config.toml": "theirs by now"})
    assert "remove /etc/containerd/config.toml, changed since" in desk.run("reset", "--yes")[1]
    run = read_runs(desk.journal)[-1]
    (kept,) = [record["before"]["kept"] for record in run.of("change") if "kept" in record.get("before", {})]
    assert read_kept(desk.journal, kept) == b"theirs by now"


def test_a_copy_of_the_administrators_file_goes_and_another_clusters_stays(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    node.with_files({"/root/.kube/config": "k", "/home/ada/.kube/config": "another cluster's"})
    assert desk.run("reset", "--yes")[0] == 0
    assert node.stat("/root/.kube/config") is None
    assert node.read_text("/home/ada/.kube/config") == "another cluster's"


def test_containerd_stays_for_others_who_use_it(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    desk.machine.namespaces = {"default": [], "moby": ["site/app:1"]}
    node.with_files({"/var/lib/containerd/blob": "b"})
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert "others use it, in namespace moby" in " ".join(said.split())
    assert node.read_text("/var/lib/containerd/blob") == "b"
    assert desk.machine.units["containerd.service"].pid
    assert node.stat("/usr/local/bin/containerd")
    assert node.stat("/etc/containerd/config.toml")
    assert node.stat("/usr/local/bin/kubelet") is None
    assert desk.machine.images == {}
    assert desk.machine.namespaces == {"default": [], "moby": ["site/app:1"]}


def test_a_containerd_of_the_site_is_as_it_was(desk: Desk) -> None:
    node, unit = desk.machine.node, "/etc/systemd/system/containerd.service"
    node.with_files({unit: "the site's", "/etc/containerd/config.toml": "version = 2\n"})
    desk.machine.units["containerd.service"] = Unit(enabled=True, pid=55, text=b"the site's")
    node.symlink(unit, "/etc/systemd/system/multi-user.target.wants/containerd.service")
    before = node.entries()
    assert desk.run("--role", "cp")[0] == 0
    assert desk.run("reset", "--yes")[0] == 0
    assert node.entries() == before
    found = desk.machine.units["containerd.service"]
    assert (found.enabled, found.pid != 0, found.text) == (True, True, b"the site's")


def test_a_reset_that_is_cut_off_after_any_step_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    a_site(desk)
    before, lived = desk.machine.node.entries(), live(desk)
    assert desk.run("--role", "cp")[0] == 0
    in_use(desk)
    assert cut_off_after_each_step(desk, monkeypatch, "reset", "--yes") >= 14
    assert desk.machine.node.entries() == before
    assert live(desk) == lived
    assert desk.machine.node.stat(RECORD_PATH) is None


def test_json_lists_first_and_then_tells_step_by_step(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    code, said = desk.run("reset", "--yes", "--json")
    events = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert events[0]["event"] == "plan"
    assert any("remove /usr/local/bin/kubelet" in step["changes"] for step in events[0]["steps"])
    assert {event["event"] for event in events[1:-1]} == {"step"}
    assert events[-1]["event"] == "done"
