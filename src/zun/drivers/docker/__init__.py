"""The drivers for a Docker engine (20.10 and later, or a socket that speaks its API), on this very host."""

from zun.drivers.docker.client import DEFAULT_URL, Engine
from zun.drivers.docker.images import DockerImages
from zun.drivers.docker.networks import DockerNetworks
from zun.drivers.docker.runtime import DockerRuntime

__all__ = ["DEFAULT_URL", "DockerImages", "DockerNetworks", "DockerRuntime", "Engine"]
