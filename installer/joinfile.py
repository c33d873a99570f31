"""The join-file verb without its screen: a join file whose every part is valid now."""

from __future__ import annotations

from pathlib import Path

from installer import probes
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.execute import Executor, Phase, Plan
from installer.given import saved_config
from installer.install import demand_root
from installer.installed import PATH as RECORD_PATH
from installer.installed import Installed
from installer.join import PATH, JoinFile
from installer.journal import open_journal
from installer.node import Node
from installer.proxymode import decide
from installer.recording import RecordingNode
from installer.render.kernel import PROXY_MODULES
from installer.render.kubeadm import NodeIdentity, minor_of
from installer.steps.cluster import WriteJoinFile


def valid_join_file(node: Node, journal_folder: Path) -> str:
    """The text of this cluster's join file; one with a part that has ended is made anew first."""
    demand_root(node)
    record = Installed.read(node)
    if record is None or record.role != "cp" or record.state != "done":
        raise InputError(
            "this machine cannot say how to join",
            where=RECORD_PATH,
            wanted="a control-plane node that this tool installed",
            got="none" if record is None else f"{record.role}, {record.state}",
            next_step="run this on a control-plane node",
        )
    config = ClusterConfig.from_text(saved_config(node) or "", where="the saved cluster.yaml")
    identity = NodeIdentity(record.node_name, record.address)
    modules = probes.modules(node, probes.kernel(node), PROXY_MODULES["ipvs"])
    mode = decide(config.kube_proxy_mode, minor_of(record.kubernetes), modules).name
    step = WriteJoinFile(config, identity, record.kubernetes.lstrip("v"), mode)
    if _is_over(node) or not step.check(node).satisfied:
        with open_journal(journal_folder, "join-file") as journal:
            recording = RecordingNode(node, journal, keeps_content=False)
            recording.remove(PATH)
            Executor(recording, lambda _event: None).run(Plan((Phase("cluster", (step,)),)))
    return node.read_text(PATH) or ""


def _is_over(node: Node) -> bool:
    """Whether the certificate key in the join file has ended, which further control planes need."""
    text = node.read_text(PATH)
    if text is None:
        return True
    ends_seconds = JoinFile.from_text(text, where=PATH).certificate_key_expires_seconds
    return ends_seconds is not None and ends_seconds <= node.now_seconds()
