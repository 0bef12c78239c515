"""Sessions while something is killed - the agent, the engine -, and what two hundred of them leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from docker import APIClient
from tests.crash.scenarios import body
from tests.crash.victims import Victim
from tests.support.agentstreams import AgentLab, agent, listen, run
from tests.support.engine import PrivateEngine
from tests.support.house import eventually
from tests.support.images import ensure_busybox
from tests.support.lab import FOREVER

from zun.bus.channel import Broken, Channel, End, open_channel
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerRuntime, Engine
from zun.drivers.runtime import Plan
from zun.model.lifecycle import Status
from zun.model.names import new_uuid, runtime_name
from zun.model.session import Denied, Session, StreamKind, StreamRequest, Why, digest_of
from zun.store import bound_execs, hosts, migrate, sessions, tickets
from zun.store.database import Database
from zun.work.clock import utcnow

pytestmark = pytest.mark.engine

RUN = {"tty": False, "stdin": True, "timeout": None, "kill_on_close": False}
LOGS = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": None}


class Caller:
    """What zun-wsproxy does, in this process: a URL to a stream."""

    def __init__(self, victim: Victim, db: Database) -> None:
        self.victim, self.db = victim, db

    def url(self, method: str, path: str) -> dict[str, str]:
        """The query of the URL that is granted."""
        answer = self.victim.must(method, f"/v1/containers/{path}")
        url = answer if isinstance(answer, str) else answer["proxy_url"]
        return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    def redeem(self, query: dict[str, str]) -> Session | Denied:
        with self.db.write() as conn:
            return sessions.redeem(
                conn, digest_of(query["token"]), query["uuid"], query.get("exec_id"), utcnow()
            )

    async def open(self, query: dict[str, str]) -> Channel:
        session = self.redeem(query)
        assert isinstance(session, Session), session
        arguments = {"exec_id": session.exec_id} if session.exec_id else {}
        request = StreamRequest(
            kind=session.kind, container_uuid=session.container_uuid, arguments=arguments
        )
        with self.db.write() as conn:
            place = hosts.stream_place(conn, session.host)
            assert place is not None
            ticket = tickets.insert_for_agent(
                conn, place.host_uuid, session.project_id, request, utcnow()
            )
        return await open_channel(place, ticket)


@pytest.fixture
def victim(own_victim: Callable[..., Victim]) -> Victim:
    victim = own_victim()
    victim.start()
    return victim


@pytest.fixture
def caller(victim: Victim) -> Iterator[Caller]:
    db = Database(f"sqlite:///{victim.state / 'zun.sqlite'}")
    yield Caller(victim, db)
    db.close()


def _cat(victim: Victim) -> str:
    """A running container that says again what it is told."""
    asked = {**body(), "command": ["cat"], "interactive": True}
    uuid: str = victim.must("POST", "/v1/containers?run=true", asked)["uuid"]
    victim.until(uuid, Status.RUNNING)
    return uuid


async def _echo(channel: Channel, word: bytes) -> None:
    await channel.send(word)
    await listen(channel, lambda heard: word.strip() in heard.out)


def test_an_agent_that_is_killed_in_the_middle(
    victim: Victim, caller: Caller, client: APIClient
) -> None:
    uuid = _cat(victim)
    shell = f"{uuid}/execute?command=sh&run=false&interactive=true"
    spare = {}

    def inside(ident: str) -> dict[str, Any]:
        found: dict[str, Any] = client.exec_inspect(ident)
        return found

    async def main() -> tuple[str, str]:
        bound, free = caller.url("POST", shell), caller.url("POST", shell)
        with caller.db.write() as conn:
            bound_execs.insert(conn, bound["exec_id"], uuid, f"test-{victim.port}", utcnow())
        channels = [
            await caller.open(query) for query in (caller.url("GET", f"{uuid}/attach"), bound, free)
        ]
        for channel in channels:
            await _echo(channel, b"echo hello\n")
        spare.update(caller.url("GET", f"{uuid}/attach"))
        victim.kill()
        for channel in channels:
            with pytest.raises(Broken):
                await listen(channel)
            assert channel.end is None
            await channel.close()
        return bound["exec_id"], free["exec_id"]

    bound, free = run(main())
    assert inside(bound)["Running"] and inside(free)["Running"]
    victim.start()
    eventually(lambda: not inside(bound)["Running"], "what was bound to its client is killed")
    assert inside(free)["Running"]

    def nothing_bound() -> bool:
        with caller.db.read() as conn:
            return not bound_execs.on_host(conn, f"test-{victim.port}")

    eventually(nothing_bound)

    async def again() -> None:
        # A token that nobody used outlives the agent; it is good once, as before.
        channel = await caller.open(spare)
        await _echo(channel, b"again\n")
        await channel.close()

    run(again())
    assert caller.redeem(spare) is Denied.USED


def test_a_service_that_is_told_to_end_says_so(victim: Victim, caller: Caller) -> None:
    uuid = _cat(victim)

    async def main() -> None:
        channel = await caller.open(caller.url("GET", f"{uuid}/attach"))
        await _echo(channel, b"hello\n")
        stopping = asyncio.create_task(asyncio.to_thread(victim.stop))
        end = (await listen(channel)).end
        assert end == End(why=Why.SHUTDOWN, reason="The service stops.")
        await channel.close()
        assert await stopping == 0

    run(main())


def test_two_hundred_sessions_leave_no_descriptor_thread_or_connection(
    victim: Victim, caller: Caller
) -> None:
    uuid = _cat(victim)
    with caller.db.read() as conn:
        place = hosts.stream_place(conn, f"test-{victim.port}")
    assert place is not None
    attach = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)
    enter = StreamRequest(
        kind=StreamKind.RUN, container_uuid=uuid,
        arguments={**RUN, "command": ["sleep", "1000"], "kill_on_close": True},
    )  # fmt: skip

    async def one(request: StreamRequest) -> None:
        with caller.db.write() as conn:
            ticket = tickets.insert_for_agent(conn, place.host_uuid, "p", request, utcnow())
        channel = await open_channel(place, ticket)
        await channel.close()

    async def main(rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.gather(*(one(attach) for _ in range(9)), one(enter))

    def held() -> tuple[int, int]:
        proc = Path(f"/proc/{victim.pid}")
        return len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir()))

    def processes() -> int:
        return len(victim.client.top(runtime_name(uuid))["Processes"])

    run(main(4))  # fills pools of threads and connections
    eventually(lambda: processes() == 1)
    before = held()
    run(main(20))
    eventually(lambda: processes() == 1, "commands are killed with their clients")
    # Pools may still have grown by a few; two hundred sessions have not stayed.
    eventually(lambda: held()[0] <= before[0] + 20 and held()[1] <= before[1] + 10, str(before))


# -- an endpoint on an engine ----------------------------------------------------------------------------------------


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'zun.sqlite'}")
    migrate.upgrade(db)
    yield db
    db.close()


@contextlib.contextmanager
def _on(db: Database, url: str, image: str) -> Iterator[tuple[AgentLab, Callable[..., str]]]:
    engine = Engine(url, timeout=20)
    runtime = DockerRuntime(engine)
    made: list[str] = []
    with agent(db, runtime) as lab:

        def running(*command: str, **changes: Any) -> str:
            plan = Plan(
                uuid=new_uuid(), project_id="p", host=lab.means.host_id, generation="g", image=image,
                command=command, **changes,
            )  # fmt: skip
            made.append(plan.uuid)
            runtime.create(plan, Deadline(60))
            runtime.start(plan.uuid, Deadline(60))
            return plan.uuid

        try:
            yield lab, running
        finally:
            with contextlib.suppress(Exception):
                for uuid in made:
                    runtime.remove(uuid, Deadline(60), force=True)
            engine.close()


@pytest.fixture
def real(db: Database, client: APIClient) -> Iterator[tuple[AgentLab, Callable[..., str]]]:
    with _on(db, "unix:///var/run/docker.sock", ensure_busybox(client)) as found:
        yield found


Real = tuple[AgentLab, Callable[..., str]]


def test_ten_megabytes_byte_for_byte_each_way(real: Real) -> None:
    lab, running = real
    uuid, data = running(*FOREVER), random.Random(1).randbytes(10 * 1024 * 1024)

    async def main() -> None:
        async with lab.channel(StreamKind.RUN, uuid, **{**RUN, "command": ["cat"]}) as channel:

            async def feed() -> None:
                await channel.send(data)
                await channel.close_input()

            feeding = asyncio.create_task(feed())
            heard = await listen(channel)
            await feeding
            assert heard.out == data
            assert heard.end == End(why=Why.EXITED, exit_code=0)

    run(main())


def test_commands_on_an_engine(real: Real) -> None:
    lab, running = real
    uuid = running(*FOREVER)

    def asked(*command: str, **more: Any) -> dict[str, Any]:
        return {**RUN, "command": list(command), **more}

    async def main() -> None:
        async with lab.channel(
            StreamKind.RUN, uuid, **asked("sh", "-c", "echo out; echo err >&2; exit 6")
        ) as channel:
            heard = await listen(channel)
            assert (heard.out, heard.err) == (b"out\n", b"err\n")
            assert heard.end == End(why=Why.EXITED, exit_code=6)
        async with lab.channel(
            StreamKind.RUN, uuid, **asked("sleep", "1000", timeout=0.2)
        ) as channel:
            end = (await listen(channel)).end
            assert end is not None and end.why is Why.KILLED
        # Its output ends before it does: the exit code is waited for.
        closes = asked("sh", "-c", "exec >&- 2>&-; sleep 1; exit 7")
        async with lab.channel(StreamKind.RUN, uuid, **closes) as channel:
            assert (await listen(channel)).end == End(why=Why.EXITED, exit_code=7)
        async with lab.channel(StreamKind.RUN, uuid, **asked("sleep", "2000", kill_on_close=True)):
            pass

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)
    eventually(lambda: _commands(lab, uuid) == ["sleep 100000"])


def _commands(lab: AgentLab, uuid: str) -> list[str]:
    found = lab.runtime.top(uuid, "", Deadline(60))
    return [row[-1] for row in found.rows]


def test_files_in_and_out_of_an_engine(real: Real) -> None:
    lab, running = real
    uuid, content, buffer = running(*FOREVER), os.urandom(3_000_000), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("f")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))

    async def main() -> None:
        async with lab.channel(StreamKind.PUT_ARCHIVE, uuid, path="/tmp") as channel:
            await channel.send(buffer.getvalue())
            await channel.close_input()
            assert (await listen(channel)).end == End(why=Why.EXITED)
        async with lab.channel(StreamKind.GET_ARCHIVE, uuid, path="/tmp/f") as channel:
            heard = await listen(channel)
            assert heard.end == End(why=Why.EXITED)
        with tarfile.open(fileobj=io.BytesIO(bytes(heard.out))) as tar:
            found = tar.extractfile("f")
            assert found is not None and found.read() == content
        async with lab.channel(StreamKind.PUT_ARCHIVE, uuid, path="/no/such") as channel:
            await channel.send(buffer.getvalue())
            end = (await listen(channel)).end
            assert end is not None and end.why is Why.ERROR and "/no/such" in end.reason

    run(main())


def test_an_engine_that_dies_in_the_middle(db: Database) -> None:
    engine = PrivateEngine(Path(tempfile.mkdtemp(prefix="zun-engine-")), f"zun-{os.getpid()}-s")
    try:
        engine.start()
        with engine.client() as client:
            image = ensure_busybox(client)
        with _on(db, engine.url, image) as (lab, running):
            uuid = running("cat", interactive=True)

            async def main() -> None:
                async with (
                    lab.channel(StreamKind.ATTACH, uuid) as one,
                    lab.channel(StreamKind.RUN, uuid, **{**RUN, "command": ["cat"]}) as two,
                    lab.channel(StreamKind.LOGS, uuid, **LOGS) as three,
                ):
                    await _echo(one, b"hello\n")
                    await _echo(two, b"hello\n")
                    await asyncio.to_thread(engine.kill)
                    for channel in (one, two, three):
                        end = (await listen(channel)).end
                        assert end is not None and end.why is Why.ENGINE, end

            run(main())
    finally:
        engine.destroy()
