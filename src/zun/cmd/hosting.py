"""What an agent has on its machine: the drivers, and a state directory of its own."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from oslo_config import cfg

from zun.cmd.arguments import CannotServe
from zun.cmd.process import held
from zun.cmd.wiring import Drivers
from zun.drivers.docker import DockerImages, DockerNetworks, DockerRuntime, Engine
from zun.drivers.files import FileVolumes


def docker_drivers(conf: cfg.ConfigOpts, owner: str) -> Drivers:
    """The drivers of the engine on this machine; `owner` marks what is ours on it."""
    engine = Engine(conf.docker.api_url, timeout=conf.docker.default_timeout)
    return Drivers(
        runtime=DockerRuntime(engine),
        images={"docker": DockerImages(engine)},
        network=DockerNetworks(engine, owner),
        volumes=FileVolumes(conf.state_path),
    )


def lock(state: Path, binary: str) -> IO[str]:
    """The state directory for this process alone, until the file is closed. Raises CannotServe: it is another's."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = held(state / "lock")
    if handle is None:
        raise CannotServe(
            f"another {binary} is running on {state}; stop it, or choose another --state-dir"
        )
    return handle
