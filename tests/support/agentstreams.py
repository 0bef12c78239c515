"""An agent's endpoint of byte streams on a fake runtime, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from tests.support.house import PATIENCE, PROJECT

from zun.bus.channel import CLOSE, DATA, END, STDERR, Channel, End, open_channel
from zun.compute.endpoint import Endpoint, EndpointSettings
from zun.drivers.deadline import Deadline
from zun.drivers.fake import FakeImages, FakeNetworks, FakeRuntime, FakeVolumes
from zun.drivers.runtime import Plan
from zun.model.names import new_uuid
from zun.model.session import StreamKind, StreamPlace, StreamRequest
from zun.store import tickets
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.context import Means

HOST = "host-1"


class Hands:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = 1000.0

    def __call__(self) -> float:
        with self._lock:
            return self._at

    def forward(self, seconds: float) -> None:
        with self._lock:
            self._at += seconds


@dataclass
class Heard:
    """What a client got."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    end: End | None = None


async def listen(channel: Channel, until: Callable[[Heard], bool] | None = None) -> Heard:
    """Everything to the end of the stream, or until something is so."""
    heard = Heard()
    async with asyncio.timeout(PATIENCE):
        while until is None or not until(heard):
            frame = await channel.receive()
            if frame.kind == DATA:
                heard.out += frame.payload
            elif frame.kind == STDERR:
                heard.err += frame.payload
            elif frame.kind == END:
                heard.end = channel.end
                break
            else:
                assert frame.kind == CLOSE
    return heard


class AgentLab:
    """The endpoint of one host, its runtime and its database."""

    def __init__(self, db: Database, endpoint: Endpoint, means: Means, runtime: Any) -> None:
        self.db, self.endpoint, self.means, self.runtime = db, endpoint, means, runtime

    def ticket(self, request: StreamRequest, now: datetime | None = None) -> Any:
        with self.db.write() as conn:
            return tickets.insert_for_agent(
                conn, self.means.host_id, PROJECT, request, now or utcnow()
            )

    @property
    def place(self) -> StreamPlace:
        return StreamPlace(host_uuid=self.means.host_id, address=self.endpoint.address)

    @contextlib.asynccontextmanager
    async def channel(
        self,
        kind: StreamKind,
        uuid: str,
        *,
        session_limit: int | None = None,
        idle_limit: int | None = None,
        tls: ssl.SSLContext | None = None,
        **arguments: Any,
    ) -> AsyncIterator[Channel]:
        request = StreamRequest(
            kind=kind,
            container_uuid=uuid,
            arguments=arguments,
            session_limit=session_limit,
            idle_limit=idle_limit,
        )
        channel = await open_channel(self.place, self.ticket(request), tls=tls)
        try:
            yield channel
        finally:
            await channel.close()

    def running(self, *command: str, **changes: Any) -> str:
        """A running container of the fake."""
        plan = Plan(
            uuid=new_uuid(), project_id=PROJECT, host=self.means.host_id, generation="g", image="i",
            command=command or None, **changes,
        )  # fmt: skip
        self.runtime.create(plan, Deadline(PATIENCE))
        self.runtime.start(plan.uuid, Deadline(PATIENCE))
        return plan.uuid


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a client to its end, in bounded time."""

    async def bounded() -> Any:
        async with asyncio.timeout(2 * PATIENCE):
            return await main

    return asyncio.run(bounded())


@contextlib.contextmanager
def agent(
    db: Database,
    runtime: Any = None,
    now: Callable[[], float] | None = None,
    registry: CollectorRegistry | None = None,
    host_id: str | None = None,
    **settings: Any,
) -> Iterator[AgentLab]:
    """An endpoint that serves until the block ends."""
    runtime = runtime or FakeRuntime()
    means = Means(
        host=HOST, host_id=host_id or new_uuid(), runtime=runtime, images={"docker": FakeImages()},
        network=FakeNetworks(), volumes=FakeVolumes(),
    )  # fmt: skip
    settings.setdefault("round", 0.01)
    more = {} if now is None else {"now": now}
    endpoint = Endpoint(
        means, db, utcnow, EndpointSettings(**settings), registry or CollectorRegistry(), **more
    )
    endpoint.start()
    try:
        yield AgentLab(db, endpoint, means, runtime)
    finally:
        endpoint.stop(PATIENCE)


def certificates(folder: Path, name: str = "localhost") -> dict[str, Path]:
    """An authority, and two certificates it signed - of an agent called `name` and of a client -, as files."""
    return _Authority(folder).files(name)


class _Authority:
    def __init__(self, folder: Path) -> None:
        from datetime import UTC, timedelta

        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._x509, self._ec, self._folder = x509, ec, folder
        self._begin = datetime.now(UTC) - timedelta(days=1)
        self._finish = self._begin + timedelta(days=3)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._oid = NameOID.COMMON_NAME
        self._sign("ca", self._name, self._key, authority=True)

    def _sign(
        self, file: str, name: Any, key: Any, *, authority: bool = False, dns: str = ""
    ) -> None:
        from cryptography.hazmat.primitives import hashes, serialization

        x509 = self._x509
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._finish)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if dns:
            names = x509.SubjectAlternativeName([x509.DNSName(dns)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        encoding = serialization.Encoding.PEM
        (self._folder / f"{file}.pem").write_bytes(certificate.public_bytes(encoding))
        (self._folder / f"{file}.key").write_bytes(
            key.private_bytes(
                encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def files(self, name: str) -> dict[str, Path]:
        x509 = self._x509
        for file in ("agent", "client"):
            key = self._ec.generate_private_key(self._ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(self._oid, file)])
            self._sign(file, subject, key, dns=name)
        return {
            f"{file}.{kind}": self._folder / f"{file}.{kind}"
            for file in ("ca", "agent", "client")
            for kind in ("pem", "key")
        }
