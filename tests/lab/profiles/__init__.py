"""The upstreams the lab can be: ``mini`` (stand-ins, seconds to make), ``real`` (compiled Kubernetes), ``internet``."""

KUBERNETES = "1.30.14"
IMAGES = {
    "kube-apiserver": "v1.30.14",
    "kube-controller-manager": "v1.30.14",
    "kube-scheduler": "v1.30.14",
    "kube-proxy": "v1.30.14",
    "coredns/coredns": "v1.11.3",
    "etcd": "3.5.15-0",
    "pause": "3.9",
}
"""What kubeadm of this release lists, below ``registry.k8s.io/``."""
ENDPOINT_IMAGES = {
    "haproxy": "docker.io/library/haproxy:3.2.21-alpine",
    "kube-vip": "ghcr.io/kube-vip/kube-vip:v1.0.3",
}
"""What the catalogue carries for the API's endpoint, by program."""
CRICTL = "1.30.0"
ETCD = "3.5.15"
