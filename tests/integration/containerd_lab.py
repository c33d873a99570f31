"""A real containerd of any generation, run by a test beside any other, in folders of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.localnode import LocalNode
from installer.node import QUERY_TIMEOUT_SECONDS, CommandResult
from installer.queries import demand_read_only
from installer.render import containerd as render

_START_SECONDS = 60.0
_PLACED = "/usr/local/bin/"
_UNIT = "containerd.service"


@dataclass
class ContainerdLab:
    """The daemon: where it keeps things, its process, and its log; it plays systemd's part for its one unit.

    ``programs`` is the folder with its ``containerd``, ``ctr`` and shim, which comes first in its ``PATH``.
    """

    folder: Path
    programs: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def socket(self) -> str:
        """Where it listens."""
        return str(self.folder / "s.sock")

    @property
    def ctr(self) -> list[str]:
        """``ctr`` for this daemon, and the kubelet's images."""
        return [str(self.programs / "ctr"), "-a", self.socket, "-n", "k8s.io"]

    @property
    def config_path(self) -> Path:
        """Its configuration: ``/etc/containerd/config.toml`` of the node below."""
        return Path(f"{self.folder}/node{render.CONFIG_PATH}")

    @property
    def log(self) -> str:
        """What the last start logged."""
        return (self.folder / f"log-{self.starts}").read_text(encoding="utf-8", errors="replace")

    def settings(self, sandbox: str | None) -> render.RuntimeSettings:
        """Settings that keep everything in the test's folder."""
        where = str(self.folder)
        return render.RuntimeSettings(
            sandbox,
            runc_path="/usr/sbin/runc",
            root=f"{where}/root",
            state=f"{where}/state",
            socket=self.socket,
            cni_bin_dir=f"{where}/cni",
            cni_conf_dir=f"{where}/net.d",
        )

    def restart(self) -> CommandResult:
        """Starts or restarts the daemon and waits until it answers, as a unit of ``Type=notify`` does."""
        self.stop()
        self.starts += 1
        with (self.folder / f"log-{self.starts}").open("wb") as log:
            argv = [str(self.programs / "containerd"), "--config", str(self.config_path)]
            path = f"{self.programs}:{os.environ['PATH']}"
            env = {**os.environ, "PATH": path}
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, env=env)
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends and self.process.poll() is None:
            asked = [*self.ctr, "--connect-timeout", "1s", "version"]
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                return CommandResult(("systemctl", "restart", _UNIT), 0, "", "")
            time.sleep(0.1)
        return CommandResult(
            ("systemctl", "restart", _UNIT), 1, "", "Job for containerd.service failed.\n" + self.log[-500:]
        )

    def stop(self) -> None:
        """Ends the daemon."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=_START_SECONDS)

    def show(self) -> str:
        """The unit as ``systemctl show`` would tell it."""
        running = self.process is not None and self.process.poll() is None
        pid = self.process.pid if running and self.process else 0
        active = "active" if running else "failed"
        return f"LoadState=loaded\nActiveState={active}\nUnitFileState=enabled\nNeedDaemonReload=no\nMainPID={pid}\n"


@dataclass
class LabNode(LocalNode):
    """This machine with a root folder of its own, whose placed programs are in ``others`` or are the lab's containerd.

    ``systemctl`` reaches the lab's daemon only. Every other program is the real one; ``ran`` lists what changed things.
    """

    lab: ContainerdLab
    others: Path | None = None
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        LocalNode.__init__(self, self.lab.folder / "node")

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        demand_read_only(argv)
        if argv[0] == "systemctl":
            return CommandResult(tuple(argv), 0, self.lab.show(), "")
        return super().query(self._here(argv), timeout_seconds=timeout_seconds)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        self.ran.append(tuple(argv))
        if argv[:3] == ["systemctl", "restart", _UNIT]:
            return self.lab.restart().demand()
        here = self._here(argv)
        return super().run(here, stdin=stdin, timeout_seconds=timeout_seconds, secrets=secrets)

    def _here(self, argv: Sequence[str]) -> list[str]:
        """The same command on this machine: the generation's program, and the lab's configuration file."""
        placed, program, words = argv[0].startswith(_PLACED), Path(argv[0]).name, list(argv[1:])
        folder = self.others if self.others and (self.others / program).exists() else self.lab.programs
        if program == "containerd" and words == ["config", "dump"]:
            words = ["--config", str(self.lab.config_path), *words]
        elif program == "containerd" and words[0] == "--config":
            words[1] = f"{self.lab.folder}/node{words[1]}"
        return [str(folder / program) if placed else argv[0], *words]


def is_root() -> bool:
    """Whether this process may run containerd."""
    return os.geteuid() == 0


def carry_out(node: LabNode, *steps: Step) -> tuple[StepResult, ...]:
    """Check, apply and check again, as an install does."""
    return Executor(node, lambda _event: None).run(Plan((Phase("runtime", steps),)))
