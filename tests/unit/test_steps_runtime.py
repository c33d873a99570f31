"""containerd, its image store and the sandbox image, on machines that are not as they should be."""

from __future__ import annotations

import json

import pytest

from installer.errors import StepError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.plan import runtime_settings
from installer.render import containerd as render
from installer.steps.imagestore import ImageStore
from installer.steps.runtime import CANDIDATE_CONFIG, KEPT_CONFIG, ContainerdConfig, ContainerdDaemon
from installer.steps.sandbox import CRICTL, SandboxAgreement
from installer.steps.units import UnitState
from tests.fakes.machine import Machine, StoredName
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import PAUSE, PLATFORM, small_bundle
from tests.unit.test_plan import CONFIG, carry_out, cp_plan

SOCKET = "/run/containerd/containerd.sock"
SETTINGS = render.RuntimeSettings(PAUSE)
BUNDLE = small_bundle()
PAUSE_IMAGE = next(image for image in BUNDLE.index.images if str(image.reference) == PAUSE)
AGREEMENT = SandboxAgreement("1.30.14", PAUSE_IMAGE, ImageStore(SOCKET))


def one(machine: Machine, step: Step) -> StepResult:
    return Executor(machine.node, lambda _event: None).run(Plan((Phase("runtime", (step,)),)))[0]


@pytest.fixture
def machine() -> Machine:
    """A machine that was installed."""
    machine = Machine()
    carry_out(machine, cp_plan())
    return machine


def test_a_daemon_that_is_not_the_placed_binary_is_restarted(machine: Machine) -> None:
    """So it is with a distribution's containerd, and with one whose binary was replaced while it ran."""
    pid = machine.units["containerd.service"].pid
    for program in ("/usr/bin/containerd", "/usr/local/bin/containerd (deleted)"):
        machine.node.symlink(program, f"/proc/{pid}/exe")
        assert ContainerdDaemon("1.7.27", SETTINGS).check(machine.node).changes == ("start containerd.service",)
    assert one(machine, ContainerdDaemon("1.7.27", SETTINGS)).outcome == "changed"


def test_a_unit_changed_behind_systemd_s_back_is_reloaded(machine: Machine) -> None:
    machine.node.with_files({render.UNIT_PATH: "[Service]\nExecStart=/usr/bin/containerd\n"})
    assert not ContainerdDaemon("1.7.27", SETTINGS).check(machine.node).satisfied
    assert one(machine, ContainerdDaemon("1.7.27", SETTINGS)).outcome == "changed"
    assert not UnitState.read(machine.node, "containerd.service").stale


def test_another_root_folder_is_in_force_before_any_image_is_imported() -> None:
    machine = Machine()
    settings = runtime_settings(BUNDLE.index, "cp", PLATFORM, CONFIG)
    moved = render.RuntimeSettings(settings.sandbox, settings.runc_path, root="/data/containerd")
    carry_out(machine, Plan(cp_plan().phases[:2]))
    one(machine, ContainerdDaemon("1.7.27", moved))
    assert 'root = "/data/containerd"' in machine.loaded_config
    assert PAUSE not in machine.loaded_config, "it is not in the store yet"


def test_a_user_s_configuration_is_kept_beside_ours_once(machine: Machine) -> None:
    theirs = 'version = 2\nroot = "/var/lib/containerd"\n[plugins]\n'
    machine.node.with_files({render.CONFIG_PATH: theirs})
    one(machine, ContainerdConfig("1.7.27", SETTINGS))
    assert machine.node.read_text(KEPT_CONFIG) == theirs
    machine.node.with_files({render.CONFIG_PATH: "version = 2\n"})
    one(machine, ContainerdConfig("1.7.27", SETTINGS))
    assert machine.node.read_text(KEPT_CONFIG) == theirs


def test_a_drop_in_that_changes_the_sandbox_image_is_found_before_the_file_is_replaced(machine: Machine) -> None:
    before = machine.node.read_bytes(render.CONFIG_PATH)
    other = render.config("1.7.27", render.RuntimeSettings("registry.k8s.io/pause:3.8"))
    machine.node.script(["/usr/local/bin/containerd", "--config", CANDIDATE_CONFIG, "config", "dump"], other)
    with pytest.raises(StepError, match="does not read the configuration as it was written") as caught:
        one(machine, ContainerdConfig("1.7.27", render.RuntimeSettings(PAUSE, root="/elsewhere")))
    assert caught.value.got == "registry.k8s.io/pause:3.8"
    assert machine.node.read_bytes(render.CONFIG_PATH) == before


def test_all_four_witnesses_are_asked(machine: Machine) -> None:
    assert AGREEMENT.answers(machine.node) == {
        "kubeadm config images list": PAUSE,
        "containerd config dump": PAUSE,
        "CRI status": PAUSE,
        "image store": PAUSE,
    }
    found = AGREEMENT.check(machine.node)
    assert (found.satisfied, found.proof) == (True, True)


def test_a_daemon_that_still_runs_the_old_configuration_is_found(machine: Machine) -> None:
    machine.loaded_config = ""
    assert AGREEMENT.answers(machine.node)["CRI status"] == "registry.k8s.io/pause:3.8"
    assert not AGREEMENT.check(machine.node).satisfied


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        (None, "has no such image"),
        (StoredName("sha256:" + "0" * 64), f"{PAUSE} at sha256:{'0' * 64}"),
        (StoredName(PAUSE_IMAGE.blob), f"{PAUSE} is not pinned"),
        (StoredName(PAUSE_IMAGE.blob, whole=False), f"{PAUSE} is not complete and unpacked"),
    ],
)
def test_the_image_store_must_have_this_very_image(machine: Machine, stored: StoredName | None, answer: str) -> None:
    del machine.images[PAUSE]
    if stored is not None:
        machine.images[PAUSE] = stored
    assert AGREEMENT.answers(machine.node)["image store"] == answer


def test_kubeadm_listing_none_or_two_pause_images_agrees_with_nothing(machine: Machine) -> None:
    for listed, said in (("", "lists 0 pause images"), (f"{PAUSE}\nregistry.k8s.io/pause:3.8", "lists 2 pause images")):
        machine.kubeadm_pause = listed
        assert AGREEMENT.answers(machine.node)["kubeadm config images list"] == said


def _cri(info: object, *, resolves: bool) -> FakeNode:
    """A node whose crictl answers so; nothing else is there."""
    crictl = [CRICTL, "--runtime-endpoint", f"unix://{SOCKET}"]
    node = FakeNode().absent("/usr/local/bin/kubeadm", "/usr/local/bin/containerd", "/usr/local/bin/ctr")
    node.script([*crictl, "info", "-o", "json"], json.dumps(info))
    image = {"status": {"repoTags": [PAUSE]}} if resolves else {}
    node.script([*crictl, "inspecti", "-o", "json", PAUSE], json.dumps(image), code=0 if resolves else 1)
    return node


@pytest.mark.parametrize("info", [{"config": {}}, {"config": None}, {}, []])
def test_a_cri_that_does_not_show_its_sandbox_must_resolve_the_name(info: object) -> None:
    """containerd 2.1 leaves it out of its status."""
    assert AGREEMENT.answers(_cri(info, resolves=True))["CRI status"] == PAUSE
    assert AGREEMENT.answers(_cri(info, resolves=False))["CRI status"] == "shows none"


def test_witnesses_that_are_not_there_say_so() -> None:
    answers = AGREEMENT.answers(_cri({}, resolves=False))
    assert answers["kubeadm config images list"].startswith("does not answer")
    assert answers["containerd config dump"] == "names none"
    assert answers["image store"] == "does not answer"


def test_the_store_is_read_from_ctr_s_tables() -> None:
    ctr = ["/usr/local/bin/ctr", "-a", SOCKET, "-n", "k8s.io", "images"]
    digest = "sha256:" + "a" * 64
    node = FakeNode()
    node.script(
        [*ctr, "ls"],
        "REF        TYPE  DIGEST  SIZE  PLATFORMS  LABELS\n"
        f"a:1        application/vnd.oci.image.index.v1+json {digest} 1.2 KiB linux/amd64,linux/arm64 "
        "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned\n"
        f"b:1        application/vnd.oci.image.index.v1+json {digest} 12 B - -\n",
    )
    node.script(
        [*ctr, "check"],
        "REF TYPE DIGEST STATUS SIZE UNPACKED\n"
        f"a:1 application/vnd.oci.image.index.v1+json {digest} complete (2/2) 316.0 B/316.0 B true\n"
        f"b:1 application/vnd.oci.image.index.v1+json {digest} incomplete (1/2) 1.0 B/316.0 B false\n",
    )
    stored = ImageStore(SOCKET).demand(node)
    assert (stored["a:1"].digest, stored["a:1"].pinned, stored["a:1"].whole) == (digest, True, True)
    assert (stored["b:1"].digest, stored["b:1"].pinned, stored["b:1"].whole) == (digest, False, False)


def test_a_store_that_does_not_answer_is_no_empty_store() -> None:
    node = FakeNode().absent("/usr/local/bin/ctr")
    assert ImageStore(SOCKET).read(node) is None
    with pytest.raises(StepError, match="containerd does not answer"):
        ImageStore(SOCKET).demand(node)
