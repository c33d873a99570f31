"""The connected side: resolves a Kubernetes release, fetches it by digest and packs one media set."""
