"""The TCP ports of a cluster's own programs, and what listens there."""

from __future__ import annotations

CONTROL_PLANE_PORTS = {
    2379: "etcd clients",
    2380: "etcd peers",
    6443: "kube-apiserver",
    10257: "kube-controller-manager",
    10259: "kube-scheduler",
}
NODE_PORTS = {10248: "kubelet health", 10250: "kubelet"}
KUBE_PROXY_PORTS = {10249: "kube-proxy metrics", 10256: "kube-proxy health"}
CLUSTER_PORTS = CONTROL_PLANE_PORTS | NODE_PORTS | KUBE_PROXY_PORTS
