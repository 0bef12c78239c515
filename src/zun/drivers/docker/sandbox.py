"""The image of a sandbox: one program that waits until it is killed, and nothing else.

It is made here, so that no registry is needed: a sandbox must start where nothing can be pulled. The program is a few
instructions in the smallest file that Linux runs.
"""

from __future__ import annotations

import io
import struct
import tarfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine
from zun.model.image import COMMITTED

#: In the place of images that no user may name (`model.image.is_committed`), so that none passes for it.
NAME, TAG = f"{COMMITTED}/sandbox", "1"

_BASE = 0x400000  # where the program is mapped
_HEADERS = 64 + 56

#: By the engine's word for the machine: ELF's number of it, and a loop around a system call that never comes back.
_PROGRAMS: Mapping[str, tuple[int, bytes]] = {
    # mov eax, 34 (pause); syscall; jmp back
    "x86_64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # mov x0..x3, 0; mov x8, 73 (ppoll); svc 0; b back
    "aarch64": (
        183,
        bytes.fromhex("000080d2 010080d2 020080d2 030080d2 280980d2 010000d4 faffff17"),
    ),
}  # fmt: skip


def program(machine: str) -> bytes:
    """The program as an ELF file. Unsupported: a machine whose instructions we have not."""
    if machine not in _PROGRAMS:
        raise errors.Unsupported(
            f"there is no sandbox program for {machine}; the operator can name an image, sandbox_image"
        )
    number, code = _PROGRAMS[machine]
    size = _HEADERS + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, number, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return header + segment + code


def _root(machine: str) -> bytes:
    """The root file system as a tar archive: the program, and the folders an engine mounts over."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("dev", "etc", "proc", "sys"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        data = program(machine)
        info = tarfile.TarInfo("pause")
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class SandboxImage:
    """Makes sure of the image on one engine; safe from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def ensure(self, deadline: Deadline) -> str:
        """Its id. Raises Unsupported."""
        with self._lock:  # two at once would make two
            found = self._find(deadline)
            if found is None:
                self._make(deadline)
                found = self._find(deadline)
        if found is None:
            raise errors.Unavailable("the image of sandboxes was removed as soon as it was made")
        return found

    def _find(self, deadline: Deadline) -> str | None:
        try:
            with self._engine.call("look for the image of sandboxes", deadline) as client:
                inspect: Callable[[str], dict[str, Any]] = client.inspect_image
                return str(inspect(f"{NAME}:{TAG}")["Id"])
        except errors.NotFound:
            return None

    def _make(self, deadline: Deadline) -> None:
        with self._engine.call("make the image of sandboxes", deadline) as client:
            machine = str(client.info()["Architecture"])
            client.import_image_from_data(
                _root(machine),
                repository=NAME,
                tag=TAG,
                # Nobody's user: what does nothing needs no rights.
                changes=['ENTRYPOINT ["/pause"]', "USER 65534:65534"],
            )
