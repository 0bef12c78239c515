"""The fake of a volume driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zun.drivers.deadline import Deadline
from zun.drivers.fake.script import Scripted
from zun.drivers.files import checked, checked_uuid
from zun.drivers.runtime import FileMount
from zun.drivers.volume import VolumeRequest


class FakeVolumes(Scripted):
    """VolumeDriver in memory. `content` shows what a file would hold."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, dict[int, bytes]] = {}

    def content(self, container_uuid: str, index: int) -> bytes:
        """KeyError if there is none."""
        with self._lock:
            return self._files[container_uuid][index]

    def ensure(self, request: VolumeRequest, deadline: Deadline) -> Mapping[str, Any]:
        uuid = request.container_uuid
        with self._call("ensure", uuid, deadline, request):
            content, destination = checked(request)
            self._files.setdefault(checked_uuid(uuid), {})[request.index] = content
            source = f"/fake/files/{uuid}/{request.index}"
            return {"type": "file", "source": source, "destination": destination}

    def mount_spec(self, facts: Mapping[str, Any]) -> FileMount:
        return FileMount(source=str(facts["source"]), destination=str(facts["destination"]))

    def release(self, container_uuid: str, deadline: Deadline) -> None:
        with self._call("release", container_uuid, deadline):
            self._files.pop(checked_uuid(container_uuid), None)

    def list(self) -> Sequence[str]:
        with self._call("list", None, None):
            return tuple(sorted(self._files))
