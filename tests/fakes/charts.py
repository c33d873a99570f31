"""Packed Helm charts of our own, as ``helm package`` packs them: one folder in a gzip'd tar."""

from __future__ import annotations

import gzip
import io
import tarfile

VALUES = """podCidr: "10.0.0.0/8"
images: {daemon: "ghcr.io/flannel-io/flannel:v0.28.9"}
"""
TEMPLATE = """apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {app: flannel}}
  template:
    metadata: {labels: {app: flannel}}
    spec:
      initContainers:
      - {name: install, image: "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3"}
      containers:
      - name: kube-flannel
        image: {{ .Values.images.daemon }}
        args: ["{{ .Values.podCidr }}", "{{ .Values.flannel.backend }}", "{{ .Capabilities.KubeVersion }}"]
"""
CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {versions: [{schema: {properties: {image: {type: string}}}}]}
"""
TEST_POD = """apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {"helm.sh/hook": test}}
spec: {containers: [{name: test, image: busybox}]}
"""
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 12)
)
"""A few lines that stand for thirty thousand million values."""


def packed(files: dict[str, str | bytes]) -> bytes:
    """A gzip'd tar of ``files``; a name that ends in ``/`` is a folder, one with `` -> `` a symbolic link."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.partition(" -> ")[0])
            data = content.encode() if isinstance(content, str) else content
            if " -> " in name:
                member.type, member.linkname = tarfile.SYMTYPE, name.partition(" -> ")[2]
            elif name.endswith("/"):
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 1, mtime=0)


def about(name: str = "flannel", version: str = "v0.28.9") -> str:
    """The text of a ``Chart.yaml``."""
    return f"apiVersion: v2\nname: {name}\nversion: {version}\n"


def chart(version: str = "v0.28.9", **more: str) -> bytes:
    """A chart with flannel's name and shape; ``more`` are further templates, by name."""
    templates = {f"flannel/templates/{name}.yaml": text for name, text in more.items()}
    return packed(
        {
            "flannel/Chart.yaml": about(version=version),
            "flannel/values.yaml": VALUES,
            "flannel/templates/daemonset.yaml": TEMPLATE,
            "flannel/templates/test.yaml": TEST_POD,
            "flannel/crds/things.yaml": CRD,
            **templates,
        }
    )
