"""A route to the cluster's Services, for a node that has none: the unit that makes it, now and at every boot.

kube-proxy turns a Service's address into a pod's after the kernel has looked for a route. A node without a default
route finds none, and everything in the host's own network (the kubelet's plugins, host-network pods, the operator's
curl) gets "Network is unreachable" for every Service. A dummy interface with a route for just the Service addresses is
enough; what kube-proxy does not know is dropped there and does not leave the node.
"""

from __future__ import annotations

import ipaddress

INTERFACE = "airgap-svc"
UNIT = "airgap-bundle-service-route.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"


def first_service(service_subnet: str) -> str:
    """The address of the first Service, the API's own."""
    return str(ipaddress.ip_network(service_subnet)[1])


def unit(service_subnet: str, address: str) -> str:
    """The unit for Services in ``service_subnet`` on the node with ``address``, which packets start from."""
    return f"""\
# Written by airgap-bundle: this node has no route that leads to the cluster's Services.
[Unit]
Description=Route to the cluster's Services on a node without a default route
After=network.target
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=-modprobe dummy
ExecStartPre=-ip link delete {INTERFACE}
ExecStart=ip link add {INTERFACE} type dummy
ExecStart=ip link set {INTERFACE} up
ExecStart=ip route replace {service_subnet} dev {INTERFACE} src {address}
ExecStop=-ip link delete {INTERFACE}

[Install]
WantedBy=multi-user.target
"""
