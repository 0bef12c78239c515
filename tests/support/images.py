"""Images for tests, made here: no public registry is needed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

from docker import APIClient

BUSYBOX = Path("/bin/busybox")
NAME = "zun-test/busybox"
#: Runs until it is told to end, and then ends at once.
FOREVER = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 100 & wait $!; done"]
HOW = "no static busybox: install Debian's busybox-static"


def busybox_tar() -> bytes:
    """A root file system: Debian's static busybox, a link for each of its applets, /tmp and /etc."""
    assert BUSYBOX.exists(), HOW
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "proc", "sys", "dev"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        tar.add(BUSYBOX.resolve(), arcname="bin/busybox")
        for applet in listed.stdout.split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
                tar.addfile(link)
    return buffer.getvalue()


def random_tar(size: int) -> bytes:
    """A root file system that no engine has seen before: one file of `size` random bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("random")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


def import_image(client: APIClient, data: bytes, repository: str, tag: str, *changes: str) -> str:
    """Puts a root file system into the engine as repository:tag; returns the image's id."""
    # The engine answers with lines of progress; what matters is what it has afterwards.
    client.import_image_from_data(
        data, repository=repository, tag=tag, changes=['CMD ["sh"]', *changes]
    )
    return str(client.inspect_image(f"{repository}:{tag}")["Id"])


def ensure_busybox(client: APIClient) -> str:
    """The test image as NAME:latest; made if the engine has none. Returns its id."""
    present = client.images(name=NAME)
    if present:
        return str(present[0]["Id"])
    return import_image(client, busybox_tar(), NAME, "latest")
