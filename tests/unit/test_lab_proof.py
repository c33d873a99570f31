"""What counts as a pull among a cluster's events: the oracle must be able to fail, and only for pulls."""

from __future__ import annotations

import pytest

from tests.lab.proof import looked_up, pull_attempts

PRESENT = ("Pulled", 'Container image "registry.k8s.io/etcd:3.5.15-0" already present on machine')


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("quay.io/cilium/cilium:v1@sha256:ab", "quay.io/cilium/cilium@sha256:ab"),
        ("reg.local:5000/a@sha256:ab", "reg.local:5000/a@sha256:ab"),
        ("reg.local:5000/a:1", "reg.local:5000/a:1"),
    ],
)
def test_the_name_an_image_is_looked_up_by(image: str, name: str) -> None:
    assert looked_up(image) == name


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Pulling", 'Pulling image "registry.k8s.io/pause:3.9"'),
        ("Pulled", 'Successfully pulled image "registry.k8s.io/pause:3.9" in 2s'),
        ("Failed", 'Failed to pull image "registry.k8s.io/pause:3.9": no such host'),
        ("Failed", "Error: ErrImagePull"),
        ("BackOff", 'Back-off pulling image "registry.k8s.io/pause:3.9"'),
        ("ErrImageNeverPull", 'Container image "registry.k8s.io/pause:3.9" is not present with pull policy of Never'),
    ],
)
def test_a_pull_is_seen(reason: str, message: str) -> None:
    assert pull_attempts([PRESENT, (reason, message)]) == [message]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        PRESENT,
        ("BackOff", "Back-off restarting failed container kube-scheduler in pod kube-scheduler-cp-1_kube-system(8b17)"),
        ("Unhealthy", "Startup probe failed: connection refused"),
    ],
)
def test_what_is_no_pull_is_not_taken_for_one(reason: str, message: str) -> None:
    assert pull_attempts([(reason, message)]) == []


def test_an_event_without_a_message_is_no_pull() -> None:
    assert pull_attempts([("", ""), ("LeaderElection", "")]) == []
