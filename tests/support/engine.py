"""A Docker engine of a test's own, which it may kill: in a network namespace, with a socket and folders of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from docker import APIClient
from tests.support.house import eventually
from tests.support.images import ensure_busybox

HOW = "this test needs root, {0} (Debian's {1}) and a kernel with network namespaces"
_TOOLS = {"dockerd": "docker.io", "nsenter": "util-linux", "ip": "iproute2"}


class PrivateEngine:
    """Start it, kill it, start it again; `destroy` leaves nothing of it. `folder` must have a short path (a socket).

    Not `ip netns exec`: that hides the cgroup mounts from the engine. Not in the machine's own namespace: the two
    engines would fight for `docker0` and the firewall.
    """

    def __init__(self, folder: Path, name: str) -> None:
        for tool, package in _TOOLS.items():
            assert shutil.which(tool), HOW.format(tool, package)
        self.folder = folder
        self.url = f"unix://{folder / 'docker.sock'}"
        self.log = folder / "dockerd.log"
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(["ip", "netns", "add", name], check=True)

    def start(self) -> None:
        """Starts it, with the test image, and returns when it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "nsenter",
                    f"--net=/run/netns/{self._name}",
                    "dockerd",
                    *("--data-root", str(self.folder / "data")),
                    *("--exec-root", str(self.folder / "exec")),
                    *("--pidfile", str(self.folder / "pid")),
                    *("--host", self.url),
                    *("--shutdown-timeout", "1"),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, f"the engine answers; see {self.log}")
        with self.client() as client:
            ensure_busybox(client)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"dockerd ended; see {self.log}"
        # By hand: a client whose engine is away leaves its socket open.
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(5)
            try:
                door.connect(str(self.folder / "docker.sock"))
                door.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in door.recv(100)
            except OSError:
                return False

    @contextlib.contextmanager
    def client(self) -> Iterator[APIClient]:
        """A client for the block."""
        client = APIClient(self.url, version="auto", timeout=60)
        try:
            yield client
        finally:
            client.close()

    def kill(self) -> None:
        """SIGKILL, as in a crash: the containers' processes go on without it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        # Its containerd dies with it; a new engine must not find the old one still dying.
        eventually(lambda: not self._containerd(), "containerd ends")
        # Where nobody reaps it, its number still looks alive, and the next engine would wait for it.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP: it takes calls and never answers. `thaw` ends that."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def _containerd(self) -> list[int]:
        return [pid for pid, line in self._processes() if "containerd-shim" not in line]

    def _processes(self) -> list[tuple[int, str]]:
        """Everything that was started with our directories: containerd and the shims of containers."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if str(self.folder) in line and "containerd" in line.split(" ")[0]:
                        found.append((int(entry.name), line))
        return found

    def destroy(self) -> None:
        """Ends it and removes every trace."""
        self.thaw()
        if self._process is not None and self._process.poll() is None and self._answers():
            with self.client() as client:
                for container in client.containers(all=True):
                    client.remove_container(container["Id"], force=True, v=True)
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        for pid, _ in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self._processes(), "its processes end")
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        subprocess.run(["ip", "netns", "delete", self._name], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
