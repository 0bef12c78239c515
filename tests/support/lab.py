"""A runtime under test with its surroundings: one shape for the fake and for the real engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerNetworks, DockerRuntime, Engine
from zun.drivers.fake import FakeNetworks, FakeRuntime
from zun.drivers.network import NetworkSpec, PortSpec
from zun.drivers.runtime import Attachment, Facts, Hint, Plan
from zun.model import names
from zun.model.lifecycle import Observed

PATIENCE = 60.0  # seconds; only a failing test gets there
FOREVER = ["sleep", "100000"]


def soon() -> Deadline:
    return Deadline(PATIENCE)


class Watcher:
    """Reads a runtime's events in a thread and wakes whoever waits for something to be so."""

    def __init__(self, runtime: DockerRuntime | FakeRuntime) -> None:
        self._runtime = runtime
        self._changed = threading.Condition()
        self.hints: list[Hint] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.until(lambda: bool(self.hints))

    def _read(self) -> None:
        for hint in self._runtime.events():
            with self._changed:
                self.hints.append(hint)
                self._changed.notify_all()

    def until(self, so: Callable[[], bool]) -> None:
        """Looks at each event whether it is `so`."""
        with self._changed:
            assert self._changed.wait_for(so, PATIENCE), (
                f"it never was so; hints: {self.hints[-10:]}"
            )


class Lab:
    """Makes plans of a host of its own, and cleans up after them."""

    def __init__(
        self,
        runtime: DockerRuntime | FakeRuntime,
        networks: DockerNetworks | FakeNetworks,
        image: str,
        engine: Engine | None,
        host: str,
    ) -> None:
        self.runtime, self.networks, self.image, self.engine = runtime, networks, image, engine
        self.host = host
        self.project = names.new_uuid()
        self._watcher: Watcher | None = None
        self._made: list[str] = []

    @property
    def real(self) -> bool:
        return self.engine is not None

    @property
    def watcher(self) -> Watcher:
        if self._watcher is None:
            self._watcher = Watcher(self.runtime)
        return self._watcher

    def plan(self, command: Sequence[str] | None = FOREVER, **changes: Any) -> Plan:
        settings: Mapping[str, Any] = {
            "uuid": names.new_uuid(),
            "project_id": self.project,
            "host": self.host,
            "generation": names.new_uuid(),
            "image": self.image,
            "command": command,
            **changes,
        }
        return Plan(**settings)

    def created(self, command: Sequence[str] | None = FOREVER, **changes: Any) -> str:
        plan = self.plan(command, **changes)
        self.runtime.create(plan, soon())
        return plan.uuid

    def running(self, command: Sequence[str] | None = FOREVER, **changes: Any) -> str:
        uuid = self.created(command, **changes)
        self.runtime.start(uuid, soon())
        return uuid

    def look(self, uuid: str) -> Facts:
        return self.runtime.inspect(uuid, soon())

    def until(self, uuid: str, observed: Observed) -> Facts:
        """Waits for events until the container is observed so."""
        self.watcher.until(lambda: self.look(uuid).observed is observed)
        return self.look(uuid)

    def ended(self, command: Sequence[str], **changes: Any) -> Facts:
        """The facts of a container that ran to its end."""
        _ = self.watcher
        return self.until(self.running(command, **changes), Observed.EXITED)

    def network(self, octet: int) -> NetworkSpec:
        spec = NetworkSpec(
            uuid=names.new_uuid(),
            project_id=self.project,
            name="net",
            subnet=f"10.213.{octet}.0/24",
        )
        self.networks.ensure_network(spec, soon())
        self._made.append(spec.uuid)
        return spec

    def attachments(self, *ports: tuple[NetworkSpec, int]) -> Sequence[Attachment]:
        return self.networks.plan(
            [
                PortSpec(
                    uuid=names.new_uuid(),
                    network_uuid=spec.uuid,
                    container_uuid="",
                    address=spec.subnet.replace(".0/24", f".{last}"),
                )
                for spec, last in ports
            ]
        )

    def kill_behind(self, uuid: str) -> None:
        """The container's process dies of a KILL that the driver knows nothing of."""
        if isinstance(self.runtime, FakeRuntime):
            self.runtime.die(uuid, 137)
            return
        assert self.engine is not None
        with self.engine.call("kill") as client:
            client.kill(names.runtime_name(uuid))

    def vanish(self, uuid: str) -> None:
        """Somebody removes the container by hand."""
        if isinstance(self.runtime, FakeRuntime):
            self.runtime.vanish(uuid)
            return
        assert self.engine is not None
        with self.engine.call("remove") as client:
            client.remove_container(names.runtime_name(uuid), force=True)

    def raw(self, uuid: str) -> Mapping[str, Any]:
        """What the real engine's inspect says."""
        assert self.engine is not None
        with self.engine.call("inspect") as client:
            raw: dict[str, Any] = client.inspect_container(names.runtime_name(uuid))
            return raw

    def close(self) -> None:
        for facts in self.runtime.list(self.host, soon()):
            self.runtime.remove(facts.uuid, soon(), force=True)
        for uuid in self._made:
            self.networks.remove_network(uuid, soon())
        self.runtime.close()
        if self._watcher is not None:
            self._watcher.thread.join(PATIENCE)
            assert not self._watcher.thread.is_alive(), "close() did not end events()"
