"""``make e2e-minors``: a real kubeadm of the newer configuration API is asked, and compiled first where it must be.

Those of the other releases are asked where they are in the lab's cache: each takes minutes to compile.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.test_kubeadm_minors import (  # noqa: F401 - collected here, with the program below
    test_a_field_that_is_not_there_is_noticed,
    test_it_finds_our_patches_by_their_names,
    test_it_lists_exactly_the_images_that_the_catalogue_has,
    test_the_other_interface_s_flags_are_refused,
    test_what_init_is_given_is_valid,
    test_what_join_is_given_is_valid,
)
from tests.lab.profiles.compiled import KUBEADM_BUILDS
from tests.lab.toolchain import built

NEWEST = list(KUBEADM_BUILDS)[-1]


@pytest.fixture
def version() -> str:
    """The newest release that is compiled."""
    return NEWEST


@pytest.fixture
def program(version: str) -> Path:
    """Its kubeadm."""
    return built(KUBEADM_BUILDS[version]) / "kubeadm"
