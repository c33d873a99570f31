"""The local endpoint of the API: a HAProxy on every node, as a static pod, that leads to the control planes. Pure.

It passes TCP on: TLS goes from client to API server untouched, so it holds no key. Only its health checks speak TLS of
their own, and trust nothing they read. A control plane that fails them loses its connections at once, so that clients
ask again and reach another. The same file serves every node, before and after the control planes it names have joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from installer.endpoint import LOCAL_ADDRESS, ClusterNode
from installer.settings import API_PORT, Endpoint
from installer.yamltext import dump_yaml

CONFIG_PATH = "/etc/airgap-bundle/haproxy.cfg"
MANIFEST_PATH = "/etc/kubernetes/manifests/airgap-bundle-endpoint.yaml"
NAME = "airgap-bundle-endpoint"
USER = 99
"""The image's own user and group, ``haproxy``; said as a number so that the kubelet can see it is not root."""
COMMAND = ("haproxy", "-db", "-f", CONFIG_PATH)


def config(control_planes: Sequence[ClusterNode], port: int) -> str:
    """``haproxy.cfg`` for a listener on ``port`` of this node alone; the port above it answers ``/healthz``.

    What runs on a node itself opens few connections; 300 fit into the 1024 open files that ``ctr run`` allows, and
    pods do not come this way but by the API's Service. An API server that wants a login even for ``/readyz`` (401,
    403) is one that answers.
    """
    servers = "".join(f"    server {node.name} {Endpoint(node.address, API_PORT)}\n" for node in control_planes)
    return f"""\
# Written by airgap-bundle: this node's way to the API of the control planes. The same on every node.
global
    log stdout format raw daemon notice
    nbthread 2
    maxconn 300

defaults
    mode tcp
    log global
    option clitcpka
    option srvtcpka
    option redispatch 1
    retries 3
    timeout connect 3s
    timeout check 10s
    timeout client 1h
    timeout server 1h

frontend api
    bind {LOCAL_ADDRESS}:{port}
    default_backend control-planes

backend control-planes
    balance leastconn
    option httpchk GET /readyz
    http-check expect status 200,401,403
    default-server check check-ssl verify none inter 3s rise 2 fall 3 on-marked-down shutdown-sessions
{servers}
frontend health
    bind {LOCAL_ADDRESS}:{port + 1}
    mode http
    monitor-uri /healthz
"""


def pod(image: str, text: str, port: int) -> str:
    """The static pod that runs ``image`` with the configuration ``text``; another text is another pod."""
    return "# Written by airgap-bundle.\n" + dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": NAME,
                "namespace": "kube-system",
                "labels": {"app.kubernetes.io/name": NAME, "tier": "node"},
                "annotations": {"airgap-bundle/config": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"},
            },
            "spec": {
                "hostNetwork": True,
                "dnsPolicy": "Default",
                "priorityClassName": "system-node-critical",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(image, port)],
                "volumes": [{"name": "config", "hostPath": {"path": CONFIG_PATH, "type": "File"}}],
            },
        }
    )


def _container(image: str, port: int) -> dict[str, object]:
    probe = {"host": LOCAL_ADDRESS, "path": "/healthz", "port": port + 1, "scheme": "HTTP"}
    return {
        "name": "haproxy",
        "image": image,
        "imagePullPolicy": "Never",
        "command": list(COMMAND),
        "livenessProbe": {
            "httpGet": probe,
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "timeoutSeconds": 15,
            "failureThreshold": 8,
        },
        "resources": {"requests": {"cpu": "25m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_PATH, "readOnly": True}],
    }
