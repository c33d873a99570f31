"""The endpoint before there is a kubelet: a real containerd runs a real HAProxy as the step asks, and lets it go."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from installer.render import haproxy as render
from installer.steps import endpoint
from installer.steps.endpoint import EndpointBeforeKubelet, has_bridge, remove_bridge
from tests.integration.containerd_lab import ContainerdLab, LabNode
from tests.integration.test_local_endpoint import PLANES, free_pair
from tests.lab.images import ImageConfig, ImageParts, image
from tests.lab.profiles import ENDPOINT_IMAGES, haproxy

REFERENCE = ENDPOINT_IMAGES["haproxy"]


def layout(parts: ImageParts) -> bytes:
    """The image as the OCI layout tar that ``ctr images import`` takes."""
    media_type, top = parts.manifests[parts.top]
    entry = {"mediaType": media_type, "digest": parts.top, "size": len(top)}
    entry["annotations"] = {"io.containerd.image.name": REFERENCE}
    files = {f"blobs/sha256/{digest[7:]}": data for digest, data in parts.blobs.items()}
    files |= {f"blobs/sha256/{digest[7:]}": data for digest, (_, data) in parts.manifests.items()}
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_haproxy_listens_before_there_is_a_kubelet_and_is_gone_when_told(
    lab: ContainerdLab, node: LabNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_pair()
    # runc names a container's control group by the container alone: two of these tests at once on one machine, each
    # with a containerd of its own, would end each other's programs.
    monkeypatch.setattr(endpoint, "BRIDGE", f"{endpoint.BRIDGE}-{port}")
    config = lab.folder / "haproxy.cfg"
    config.write_text(render.config(PLANES, port))
    config.chmod(0o644)
    lab.folder.chmod(0o755)
    monkeypatch.setattr(render, "CONFIG_PATH", str(config))
    monkeypatch.setattr(render, "COMMAND", ("haproxy", "-db", "-f", str(config)))
    parts = image({"amd64": [haproxy.userland()]}, ImageConfig(entrypoint=("haproxy",), user=haproxy.USER))
    subprocess.run([*lab.ctr, "images", "import", "-"], input=layout(parts), check=True)

    step = EndpointBeforeKubelet(REFERENCE, port, lab.socket)
    monkeypatch.setattr("installer.probes.listening_ports", lambda _view: _listening())
    try:
        assert not step.check(node).satisfied
        assert step.apply(node) == f"listening on 127.0.0.1:{port}, by containerd alone"
        assert step.check(node).satisfied
        assert step.check(node).satisfied, "it goes on when the command that started it has ended"
        said = subprocess.run([*lab.ctr, "containers", "info", endpoint.BRIDGE], check=True, capture_output=True).stdout
        mounts = json.loads(said)["Spec"]["mounts"]
        assert [mount["source"] for mount in mounts if mount["source"].startswith("/")] == [str(config)], (
            "a node without a name server has no /etc/resolv.conf to mount"
        )
    finally:
        remove_bridge(node, lab.socket)
    assert not has_bridge(node, lab.socket)
    assert not step.check(node).satisfied


def _listening() -> tuple[int, ...]:
    """This machine's ports: the lab's node has no /proc of its own."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return tuple(int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A")
