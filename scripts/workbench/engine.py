"""The container engine: asked over its unix socket, started where none answers, given an image.

Spoken to by plain HTTP, so that no docker command is needed.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from workbench.console import Step, Trouble, run, tail
from workbench.packages import apt_install, is_root

DEFAULT_SOCKET = "/var/run/docker.sock"
ANSWER_SECONDS = 10.0
START_SECONDS = 60.0
PULL_SECONDS = 20.0
IMAGE = "busybox"
#: On an image this script built, so that uninstall knows it.
BUILT_LABEL = "org.openstack.zun.quickstart"
_ELF_INTERPRETER = 3


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refused(Exception):
    """The engine answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Engine:
    """A container engine on a unix socket."""

    def __init__(self, path: str = DEFAULT_SOCKET) -> None:
        self.path = path

    def call(
        self, method: str, target: str, body: bytes | None = None, timeout: float = ANSWER_SECONDS
    ) -> bytes:
        """One request; the answer's body. `timeout` in seconds bounds each wait for data.

        Raises Refused (the engine said no) and OSError (nobody answered, or not in time).
        """
        connection = _UnixConnection(self.path, timeout)
        try:
            headers = {"Content-Type": "application/x-tar"} if body is not None else {}
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP on {self.path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, _message(data))
        return data

    def json(self, method: str, target: str) -> Any:
        """One request; the answer's JSON. Raises as `call`."""
        return json.loads(self.call(method, target))

    def version(self) -> str | None:
        """Name and version of the engine; None where none answers. Raises Trouble: no permission."""
        try:
            known = self.json("GET", "/version")
        except PermissionError as error:
            raise Trouble(
                f"no permission to use the container engine on {self.path}",
                "run this as root, or add yourself to the socket's group (usermod -aG docker $USER) and log in again",
            ) from error
        except (OSError, Refused, ValueError):
            return None
        name = (known.get("Platform") or {}).get("Name") or "Docker"
        return f"{name.split(' - ')[0]} {known.get('Version', '?')}"

    def has_image(self, name: str) -> bool:
        """Whether the engine has the image `name`."""
        try:
            self.call("GET", f"/images/{quote(name)}/json")
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def pull(self, name: str, seconds: float, tag: str = "latest") -> str | None:
        """Pull `name`:`tag` within `seconds`; None when it is there, else why not."""
        connection = _UnixConnection(self.path, seconds)
        until = time.monotonic() + seconds
        try:
            connection.request(
                "POST", f"/images/create?{urlencode({'fromImage': name, 'tag': tag})}"
            )
            connection.sock.settimeout(seconds)
            answer = connection.getresponse()
            if answer.status >= 400:
                return _message(answer.read())
            for line in answer:
                if "error" in (progress := json.loads(line or b"{}")):
                    return str(progress["error"])
                if time.monotonic() > until:
                    return f"not finished after {seconds:.0f} s"
        except TimeoutError:
            return f"no answer within {seconds:.0f} s"
        except (OSError, http.client.HTTPException, ValueError) as error:
            return str(error)
        finally:
            connection.close()
        return (
            None
            if self.has_image(f"{name}:{tag}")
            else "the engine does not have it after the pull"
        )

    def import_image(self, name: str, tar: bytes) -> None:
        """Make a one-layer image `name`:latest of a file tree. Raises Refused, OSError."""
        changes = ['CMD ["sh"]', "ENV PATH=/bin", f"LABEL {BUILT_LABEL}=built"]
        query = urlencode(
            [
                ("fromSrc", "-"),
                ("repo", name),
                ("tag", "latest"),
                *(("changes", c) for c in changes),
            ]
        )
        answer = self.call("POST", f"/images/create?{query}", body=tar, timeout=60.0)
        for line in answer.splitlines():
            if b'"error"' in line:
                raise Refused(500, str(json.loads(line)["error"]))

    def labelled(self, kind: str, label: str) -> Iterator[dict[str, Any]]:
        """`containers` (stopped ones too) or `networks` that carry `label` ("key" or "key=value")."""
        query = urlencode({"all": "1", "filters": json.dumps({"label": [label]})})
        target = f"/containers/json?{query}" if kind == "containers" else f"/networks?{query}"
        yield from self.json("GET", target)

    def remove(self, kind: str, ident: str) -> None:
        """Remove a container (killed first), a network or an image; absent is fine. Raises Refused, OSError."""
        force = "?force=1&v=1" if kind == "containers" else ""
        try:
            self.call("DELETE", f"/{kind}/{quote(ident)}{force}", timeout=60.0)
        except Refused as refused:
            if refused.status != 404:
                raise


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace").strip()


def ensure_engine(step: Step, engine: Engine, state: Path) -> list[str]:
    """See that an engine answers: found, or started, or installed and started.

    Its log and pid file are in `state` where this process starts it. Returns the Debian packages
    that were installed. Raises Trouble.
    """
    version = engine.version()
    if version:
        step.done(f"already running: {version}")
        return []
    installed: list[str] = []
    if _find_dockerd() is None:
        why = f"no container engine answers on {engine.path} and none is installed"
        installed = apt_install(step, ["docker.io", "ca-certificates"], why)
        version = engine.version()  # a service manager may have started it
    if version is None:
        start_engine(step, engine, state)
        version = engine.version()
    step.done(f"{'installed and ' if installed else ''}started: {version}")
    return installed


def start_engine(step: Step, engine: Engine, state: Path) -> None:
    """Start the installed engine and wait until it answers. Raises Trouble."""
    dockerd = _find_dockerd()
    if dockerd is None:
        raise Trouble(
            "dockerd is not on the PATH after its installation", "check the package docker.io"
        )
    if not is_root():
        raise Trouble(
            f"no container engine answers on {engine.path}, and starting one needs root",
            "start it as root (systemctl start docker), or run this as root",
        )
    step.doing("starting the engine")
    if Path("/run/systemd/system").is_dir():
        run(
            ["systemctl", "start", "docker"],
            what="starting docker",
            way_out="see: journalctl -u docker",
        )
        process, log = None, Path("/var/log/docker.log")
    else:
        forget_the_dead(RUN_FILES)
        log = state / "dockerd.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [dockerd, "--host", f"unix://{engine.path}"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        (state / "dockerd.pid").write_text(f"{process.pid}\n")
    until = time.monotonic() + START_SECONDS
    while engine.version() is None:
        if process is not None and process.poll() is not None:
            (state / "dockerd.pid").unlink(missing_ok=True)
            raise Trouble(f"dockerd ended at once; the end of {log}:\n{tail(log)}", "see its log")
        if time.monotonic() > until:
            raise Trouble(
                f"the engine does not answer after {START_SECONDS:.0f} s\n{tail(log)}", f"see {log}"
            )
        time.sleep(0.2)


#: Where an engine writes its process id, and whose it is.
RUN_FILES = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}


def forget_the_dead(files: Mapping[Path, str]) -> None:
    """Remove files with the process id of an engine that was killed.

    Its number may be another process's by now, and an engine that sees that will not start.
    """
    for file, name in files.items():
        try:
            # "4561 (containerd) S ...": a dead process that nobody has buried yet still has its number.
            _, comm, state = re.split(
                r" \(|\) ", Path(f"/proc/{int(file.read_text())}/stat").read_text(), maxsplit=2
            )
        except (OSError, ValueError):
            continue  # no file, or nobody has the number: the engine copes with that itself
        if comm != name or state.startswith("Z"):
            file.unlink(missing_ok=True)


def _find_dockerd() -> str | None:
    return shutil.which(
        "dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"
    )


def ensure_image(step: Step, engine: Engine) -> list[str]:
    """See that the engine has IMAGE: found, pulled, or built of busybox-static.

    Returns the Debian packages that were installed. Raises Trouble.
    """
    if engine.has_image(IMAGE):
        step.done(f"{IMAGE} is already there")
        return []
    step.doing(f"pulling {IMAGE}")
    why = engine.pull(IMAGE, PULL_SECONDS)
    if why is None:
        step.done(f"{IMAGE} pulled from its registry")
        return []
    installed: list[str] = []
    binary = find_busybox()
    if binary is None:
        installed = apt_install(step, ["busybox-static"], f"{IMAGE} can't be pulled ({why})")
        binary = find_busybox()
    if binary is None:
        raise Trouble(
            f"{IMAGE} can't be pulled ({why}) and there is no static busybox to build it of"
        )
    step.doing(f"building {IMAGE} of {binary}")
    try:
        engine.import_image(IMAGE, busybox_tar(binary))
    except (Refused, OSError) as error:
        raise Trouble(f"the engine did not take the image {IMAGE}: {error}") from error
    step.done(f"no registry answers, so {IMAGE} was built of {binary}")
    return installed


def find_busybox() -> Path | None:
    """A busybox that needs no libraries; None where there is none."""
    for name in ("/bin/busybox", "/usr/bin/busybox", shutil.which("busybox") or ""):
        path = Path(name)
        if name and path.is_file() and _is_static(path):
            return path
    return None


def _is_static(path: Path) -> bool:
    """Whether an ELF file names no interpreter, that is: runs without a dynamic linker."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or len(data) < 64:
        return False
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    kinds = (struct.unpack_from(order + "I", data, offset + size * i)[0] for i in range(count))
    return _ELF_INTERPRETER not in kinds


def busybox_tar(binary: Path) -> bytes:
    """A root file system of one busybox and links for its applets, as a tar."""
    applets = run([binary, "--list"], what="asking busybox for its applets").split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (
            ("bin", 0o755),
            ("etc", 0o755),
            ("root", 0o700),
            ("tmp", 0o1777),
            ("var", 0o755),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", binary.read_bytes(), 0o755)
        _add_file(
            tar,
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        )
        _add_file(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "/bin/busybox", 0o777
                tar.addfile(entry)
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
