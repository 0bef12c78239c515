"""The optional powers of the fake runtime that the first release did not need."""

from __future__ import annotations

import time

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake.box import Box
from zun.drivers.fake.images import FakeImages
from zun.drivers.fake.networks import FakeNetworks
from zun.drivers.fake.script import Scripted
from zun.drivers.runtime import Attachment, Committed, Limits, Processes, Sample
from zun.model.host import Inventory
from zun.model.lifecycle import Observed

MIB = 1024 * 1024
LEAST_MEMORY = 6  # MiB, as of the real engine
_UP = frozenset({Observed.RUNNING, Observed.PAUSED, Observed.RESTARTING})


class Powers(Scripted):
    """CanTop, CanMeasure, CanArchive, CanUpdate, CanConnect and CanCommit in memory."""

    _boxes: dict[str, Box]
    _networks: FakeNetworks | None
    _images: FakeImages | None
    _inventory: Inventory

    def _box(self, uuid: str) -> Box:
        if uuid not in self._boxes:
            raise errors.NotFound("there is no such container")
        return self._boxes[uuid]

    def _up(self, uuid: str) -> Box:
        box = self._box(uuid)
        if box.observed not in _UP:
            raise errors.Conflict("the container is not running")
        return box

    def keep_busy(self, uuid: str, cpus: float) -> None:
        """The container uses so many CPUs from now on."""
        with self._lock:
            self._boxes[uuid].busy = cpus

    def limits_of(self, uuid: str) -> Limits:
        """The limits as they are now. KeyError if there is none."""
        with self._lock:
            return self._boxes[uuid].limits

    def top(self, uuid: str, arguments: str, deadline: Deadline) -> Processes:
        with self._call("top", uuid, deadline, arguments):
            box = self._up(uuid)
            if arguments.startswith("--"):
                raise errors.Rejected("ps: unknown option")
            command = [*(box.plan.entrypoint or ()), *(box.plan.command or ("sh",))]
            return Processes(titles=("PID", "CMD"), rows=(("1", " ".join(command)),))

    def measure(self, uuid: str, deadline: Deadline) -> Sample:
        with self._call("measure", uuid, deadline):
            box, now = self._up(uuid), time.monotonic()
            limit = box.limits.memory or self._inventory.mem_total
            return Sample(
                at=now,
                cpu=box.busy * now,
                memory=MIB,
                memory_limit=limit * MIB,
                received=100,
                sent=50,
                read=4096,
                written=8192,
            )

    def update(self, uuid: str, limits: Limits, deadline: Deadline) -> None:
        with self._call("update", uuid, deadline, limits):
            box = self._box(uuid)
            if limits.memory < LEAST_MEMORY or limits.cpu > self._inventory.cpus:
                raise errors.Rejected("these limits are out of range")
            box.limits = limits

    def connect(self, uuid: str, attachment: Attachment, deadline: Deadline) -> None:
        with self._call("connect", uuid, deadline, attachment):
            box = self._box(uuid)
            if self._networks is not None:
                self._networks.require(attachment.network)
            taken = (
                other.attachments[attachment.network].address_v4
                for other in self._boxes.values()
                if other is not box and attachment.network in other.attachments
            )
            if box.observed in _UP and attachment.address_v4 in taken:
                raise errors.Conflict("the address is taken")
            box.attachments[attachment.network] = attachment

    def disconnect(self, uuid: str, network: str, deadline: Deadline) -> None:
        with self._call("disconnect", uuid, deadline, network):
            if uuid in self._boxes:
                self._boxes[uuid].attachments.pop(network, None)

    def commit(self, uuid: str, repository: str, tag: str, deadline: Deadline) -> Committed:
        with self._call("commit", uuid, deadline, repository, tag):
            box = self._box(uuid)
            salt = box.runtime_id + "".join(sorted(box.files))
            if self._images is None:
                return Committed(image_id="sha256:" + _ident(salt), size=1_000_000)
            image = self._images.keep(f"{repository}:{tag}", salt)
            return Committed(image_id=image.runtime_ref, size=image.size)


def _ident(salt: str) -> str:
    """Something that looks like an image's id."""
    return salt.encode().hex()[:64].ljust(64, "0")
