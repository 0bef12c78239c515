"""A host of a cluster: a network namespace with a container engine of its own, the two processes it consists of.

The engine's containerd is started beside it, as Debian does: a machine's own containerd is never shared, and an engine
that is killed leaves it running. Containers live in a control group of the host's, by which they are found and ended
when no engine knows them any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.background import Background, send
from workbench.console import Trouble, run
from workbench.engine import IMAGE, Engine, forget_the_dead
from workbench.switch import Switch

CGROUPS = Path("/sys/fs/cgroup")
ENGINE_SECONDS = 90.0
#: Seconds a container gets to end when its engine is told to.
_SHUTDOWN_SECONDS = 1
_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/containerd.sock"
"""


@dataclass(frozen=True)
class Host:
    """One host of the cluster `switch` belongs to. Its files are in `folder`, whose path must be short (sockets).

    `disk`: size in MiB of a file system of its own for all of them, in memory; 0 = they are on the machine's disk.
    """

    name: str
    number: int
    switch: Switch
    folder: Path
    run: Path
    log: Path
    disk: int = 0

    @property
    def netns(self) -> str:
        """The name of its network namespace."""
        return self.switch.netns(self.name)

    @property
    def address(self) -> str:
        """Its address on the cluster's network."""
        return self.switch.address_of(self.number)

    @property
    def engine(self) -> Engine:
        """Its container engine."""
        return Engine(str(self.folder / "docker.sock"))

    @property
    def cgroup(self) -> str:
        """The control group above those of its containers."""
        return f"/{self.switch.tag}/{self.name}"

    @property
    def containerd(self) -> Background:
        """The process beside the engine, which keeps the containers."""
        config = self.folder / "containerd.toml"
        return self._daemon("containerd", ["containerd", "--config", str(config)])

    @property
    def dockerd(self) -> Background:
        """The engine's process."""
        return self._daemon(
            "engine",
            [
                "dockerd",
                *("--config-file", str(self.folder / "daemon.json")),
                *("--data-root", str(self.folder / "data")),
                *("--exec-root", str(self.folder / "exec")),
                *("--pidfile", str(self.folder / "docker.pid")),
                *("--host", f"unix://{self.engine.path}"),
                *("--containerd", str(self.folder / "containerd.sock")),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                *("--cgroup-parent", self.cgroup),
                *("--shutdown-timeout", str(_SHUTDOWN_SECONDS)),
            ],
        )

    def _daemon(self, what: str, command: list[str]) -> Background:
        name = f"{what}-{self.name}"
        return Background(
            name=name,
            command=command,
            run=self.run,
            log=self.log / f"{name}.log",
            mark=self.switch.tag,
            netns=self.netns,
        )

    # -- life -------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start the engine where it does not run; whether it had to. It may not answer yet. Raises Trouble."""
        if self.dockerd.pid() is not None and self.containerd.pid() is not None:
            return False
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        if self.disk and not self.folder.is_mount():
            size = f"size={self.disk}m,mode=711"
            run(
                ["mount", "-t", "tmpfs", "-o", size, self.switch.tag, self.folder],
                what="making a disk",
            )
        (self.folder / "containerd.toml").write_text(_CONTAINERD.format(folder=self.folder))
        # The machine's own /etc/docker/daemon.json is not for this engine.
        plain = {"log-level": "info", "log-driver": "json-file"}
        (self.folder / "daemon.json").write_text(json.dumps(plain) + "\n")
        if self.containerd.pid() is None:
            self.dockerd.stop()  # one that has lost its containerd does not find a new one
            self.containerd.start()
        self.containerd.wait((self.folder / "containerd.sock").exists, ENGINE_SECONDS, "is ready")
        if self.dockerd.pid() is None:
            forget_the_dead({self.folder / "docker.pid": "dockerd"})
            self.dockerd.start()
        return True

    def await_engine(self) -> None:
        """Wait until the engine answers. Raises Trouble."""
        engine = self.engine
        self.dockerd.wait(lambda: engine.version() is not None, ENGINE_SECONDS, "answers")

    def load(self, tar: bytes) -> None:
        """Give the engine the image busybox where it has none."""
        if not self.engine.has_image(IMAGE):
            self.engine.import_image(IMAGE, tar)

    # -- the end ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """End containers and engine. Nothing to end is no trouble."""
        self.thaw()
        send(self.processes(), signal.SIGKILL)  # else the engine waits for each to end by itself
        self.dockerd.stop()
        self.containerd.stop()

    def processes(self) -> list[int]:
        """The processes of its containers, by their control groups."""
        found = set()
        for file in self._cgroup_files("cgroup.procs"):
            with contextlib.suppress(OSError, ValueError):
                found.update(int(line) for line in file.read_text().split())
        return sorted(found)

    def thaw(self) -> None:
        """Let paused containers go on: what is frozen can't be killed."""
        for file in self._cgroup_files("freezer.state"):
            with contextlib.suppress(OSError):
                file.write_text("THAWED")
        for file in self._cgroup_files("cgroup.freeze"):
            with contextlib.suppress(OSError):
                file.write_text("0")

    def _cgroup_files(self, name: str) -> Iterable[Path]:
        for top in hierarchies():
            yield from (
                f / name for f in folders(top / self.cgroup.lstrip("/")) if (f / name).exists()
            )

    def forget_shims(self) -> None:
        """Remove the sockets that shims which were killed left outside our folder."""
        for file in (self.folder / "containerd-run").glob("*/*/*/address"):
            with contextlib.suppress(OSError):
                socket = Path(file.read_text().strip().removeprefix("unix://"))
                if socket.parent == Path("/run/containerd/s"):
                    socket.unlink()


def hierarchies() -> list[Path]:
    """Where control groups are: one place (v2), or one a controller (v1)."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return (
        [e for e in CGROUPS.iterdir() if e.is_dir() and not e.is_symlink()]
        if CGROUPS.is_dir()
        else []
    )


def folders(top: Path) -> Iterable[Path]:
    """`top` and all folders below it; none where there is no such folder. Those that go meanwhile are passed over."""
    # Not `Path.rglob`, which raises where a folder goes between being listed and being read.
    return (Path(folder) for folder, _, _ in os.walk(top))


def remove_cgroups(tag: str) -> None:
    """Remove the control groups of a cluster, whose processes have ended."""
    for top in hierarchies():
        for group in sorted(folders(top / tag), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()


def mounts_below(folder: Path) -> list[str]:
    """What is mounted below a folder, the deepest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [point.encode().decode("unicode_escape") for point in points]
    return sorted((p for p in decoded if Path(p).is_relative_to(folder)), reverse=True)


def unmount_below(folder: Path, seconds: float = 20.0) -> None:
    """Take down whatever is mounted below a folder. Raises Trouble: something is still in use."""
    until = time.monotonic() + seconds
    while mounts := mounts_below(folder):
        for point in mounts:
            subprocess.run(["umount", point], capture_output=True, check=False)
        if time.monotonic() > until:
            listed = ", ".join(mounts_below(folder)[:3])
            raise Trouble(f"still mounted and in use: {listed}", "see who uses it: fuser -vm PATH")


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it; nothing below it may be mounted any more."""
    unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=False)


def missing_tools() -> dict[str, str]:
    """Programs a host needs that are not there -> their Debian packages."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    needed = {
        "dockerd": "docker.io",
        "containerd": "containerd",
        "nsenter": "util-linux",
        "ip": "iproute2",
        "iptables": "iptables",
    }
    return {tool: package for tool, package in needed.items() if not shutil.which(tool, path=path)}
