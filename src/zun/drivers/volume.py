"""The contract of a volume driver: data that is put before, or outlives, a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import FileMount


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """One mount of a container: `index` tells it from the container's others."""

    container_uuid: str
    index: int
    destination: str
    content: bytes | None = None  # a file to inject


class VolumeDriver(Protocol):
    """See the law in `zun.drivers`.

    ensure: makes what is to be mounted and returns facts that are kept and given back (`mount_spec`); never the
        content. Rejected: the request can't be met as it stands.
    mount_spec: what the runtime must be told at create.
    release: frees all volumes of the container. Absent = success.
    list: the uuids of the containers that have volumes on this host.
    """

    def ensure(self, request: VolumeRequest, deadline: Deadline) -> Mapping[str, Any]: ...
    def mount_spec(self, facts: Mapping[str, Any]) -> FileMount: ...
    def release(self, container_uuid: str, deadline: Deadline) -> None: ...
    def list(self) -> Sequence[str]: ...
