"""``/etc/fstab``: the one line of ours, told by an option that only says whose it is, and every other byte as it was.

``nofail`` lets a machine with a broken data disk boot to where it can be mended; the drop-in keeps containerd from
starting without the disk then, which would fill the root disk instead.
"""

from __future__ import annotations

PATH = "/etc/fstab"
MARK = "x-airgap-bundle"
"""mount passes over options that begin with ``x-``; ours say which line is ours."""
DROP_IN_PATH = "/etc/systemd/system/containerd.service.d/10-airgap-bundle-data-disk.conf"


def line(uuid: str, folder: str, filesystem: str) -> str:
    """The line that mounts the file system ``uuid`` at ``folder``."""
    checked = "2" if filesystem.startswith("ext") else "0"
    return f"UUID={uuid} {folder} {filesystem} defaults,nofail,{MARK} 0 {checked}"


def is_ours(entry: str) -> bool:
    """Whether a line of fstab is the one this tool keeps."""
    fields = entry.split()
    return len(fields) >= 4 and not fields[0].startswith("#") and MARK in fields[3].split(",")


def line_at(text: str, folder: str) -> str | None:
    """The line that mounts something at ``folder``, if there is one."""
    for entry in text.splitlines():
        fields = entry.split()
        if len(fields) >= 3 and not fields[0].startswith("#") and fields[1].rstrip("/") == folder.rstrip("/"):
            return entry
    return None


def ours(text: str) -> str | None:
    """Our line, if there is one."""
    return next((entry for entry in text.splitlines() if is_ours(entry)), None)


def with_ours(text: str, wanted: str | None) -> str:
    """The text with exactly the one line ``wanted`` of ours, at its end; with none where it is ``None``."""
    kept = "".join(entry for entry in text.splitlines(keepends=True) if not is_ours(entry))
    if wanted is None:
        return kept
    separator = "" if not kept or kept.endswith("\n") else "\n"
    return f"{kept}{separator}{wanted}\n"


def drop_in(folder: str) -> str:
    """What keeps containerd from starting while nothing is mounted at ``folder``."""
    return f"# Written by airgap-bundle: the data disk.\n[Unit]\nRequiresMountsFor={folder}\n"
