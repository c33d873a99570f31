"""``make e2e``: the kubeadm of each release the lab compiles is asked, and compiled first where it is not there yet."""

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
    version,
)
from tests.lab.profiles.compiled import KUBEADM_BUILDS
from tests.lab.toolchain import built


@pytest.fixture
def program(version: str) -> Path:  # noqa: F811 - the fixture imported above
    """The kubeadm of a release."""
    return built(KUBEADM_BUILDS[version]) / "kubeadm"
