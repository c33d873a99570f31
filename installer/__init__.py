"""The isolated side: turns one machine into a kubeadm node from a media set, with no network beyond its cluster."""

__version__ = "0.1.0"
