"""Tokens of interactive sessions are good once, for one container and exec, for a while."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.support import rows

from zun.model.lifecycle import Status
from zun.model.names import new_uuid
from zun.model.session import (
    Denied,
    Session,
    StreamKind,
    StreamPlace,
    StreamRequest,
    agent_path,
    digest_of,
)
from zun.store import containers, hosts, sessions, tickets
from zun.store.database import Database
from zun.store.schema import sessions as table

pytestmark = pytest.mark.databases

pytestmark = pytest.mark.databases

NOW = datetime(2026, 1, 1, 12)
EXEC = "e" * 64


@pytest.fixture
def uuid(db: Database) -> str:
    """A running container."""
    row = rows.container(status=Status.RUNNING)
    with db.write() as conn:
        containers.insert(conn, row)
    return row.uuid


def _session(uuid: str, exec_id: str | None = None) -> Session:
    return Session(
        kind=StreamKind.EXEC if exec_id else StreamKind.ATTACH,
        container_uuid=uuid,
        exec_id=exec_id,
        project_id="p",
        user_id="u",
        host="host-1",
        tty=True,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        session_limit=3600,
    )


def _issue(db: Database, session: Session) -> str:
    with db.write() as conn:
        return sessions.issue(conn, session)


def _redeem(
    db: Database, token: str, uuid: str, exec_id: str | None = None, now: datetime = NOW
) -> Session | Denied:
    with db.write() as conn:
        return sessions.redeem(conn, digest_of(token), uuid, exec_id, now)


def test_defect_04_a_token_opens_what_it_was_issued_for_once(db: Database, uuid: str) -> None:
    session = _session(uuid, EXEC)
    token = _issue(db, session)
    assert _redeem(db, token, uuid, EXEC) == session
    assert _redeem(db, token, uuid, EXEC) is Denied.USED


def test_defect_04_a_token_is_random_and_never_stored(db: Database, uuid: str) -> None:
    first, second = _issue(db, _session(uuid, EXEC)), _issue(db, _session(uuid, EXEC))
    assert first != second
    assert len(first) == 43  # 256 bits
    with db.read() as conn:
        stored = str(conn.execute(sa.select(table)).all())
    assert first not in stored and second not in stored


def test_of_many_at_once_one_gets_in(db: Database, uuid: str) -> None:
    token = _issue(db, _session(uuid))
    answers: list[Session | Denied] = []
    threads = [
        threading.Thread(target=lambda: answers.append(_redeem(db, token, uuid))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Session) for answer in answers) == 1
    assert answers.count(Denied.USED) == 15


def test_what_does_not_fit_is_denied_and_uses_nothing_up(db: Database, uuid: str) -> None:
    token = _issue(db, _session(uuid, EXEC))
    assert _redeem(db, "x" * 43, uuid, EXEC) is Denied.UNKNOWN
    assert _redeem(db, token, new_uuid(), EXEC) is Denied.OTHER_CONTAINER
    assert _redeem(db, token, uuid, "f" * 64) is Denied.OTHER_EXEC
    assert _redeem(db, token, uuid) is Denied.OTHER_EXEC
    assert _redeem(db, token, uuid, EXEC, NOW + timedelta(seconds=60)) is Denied.EXPIRED
    assert isinstance(_redeem(db, token, uuid, EXEC, NOW + timedelta(seconds=59)), Session)


def test_an_attach_token_opens_no_exec(db: Database, uuid: str) -> None:
    token = _issue(db, _session(uuid))
    assert _redeem(db, token, uuid, EXEC) is Denied.OTHER_EXEC


@pytest.mark.parametrize("status", [Status.STOPPED, Status.PAUSED, Status.DELETING, None])
def test_a_container_that_does_not_run_is_not_entered(
    db: Database, uuid: str, status: Status | None
) -> None:
    token = _issue(db, _session(uuid))
    with db.write() as conn:
        if status is None:
            containers.delete(conn, uuid)
        else:
            containers.update(conn, uuid, NOW, status=status)
    assert _redeem(db, token, uuid) is Denied.NOT_RUNNING
    if status is not None:
        with db.write() as conn:
            containers.update(conn, uuid, NOW, status=Status.RUNNING)
        assert isinstance(_redeem(db, token, uuid), Session)


def test_a_newer_attach_token_voids_the_older(db: Database, uuid: str) -> None:
    older, other = _issue(db, _session(uuid)), _issue(db, _session(uuid, EXEC))
    newer = _issue(db, replace(_session(uuid), issued_at=NOW + timedelta(seconds=1)))
    at = NOW + timedelta(seconds=1)
    assert _redeem(db, older, uuid, now=at) is Denied.EXPIRED
    assert isinstance(_redeem(db, newer, uuid, now=at), Session)
    assert isinstance(_redeem(db, other, uuid, EXEC, at), Session)


def test_the_container_of_an_exec(db: Database, uuid: str) -> None:
    _issue(db, _session(uuid, EXEC))
    with db.read() as conn:
        assert sessions.container_of(conn, EXEC) == uuid
        assert sessions.container_of(conn, "f" * 64) is None


def test_old_tokens_go(db: Database, uuid: str) -> None:
    _issue(db, _session(uuid, EXEC))
    with db.write() as conn:
        assert sessions.expire(conn, NOW) == 0
        assert sessions.expire(conn, NOW + timedelta(seconds=60)) == 1


def test_a_ticket_for_an_agent_says_what_is_asked(db: Database) -> None:
    request = StreamRequest(
        kind=StreamKind.RUN,
        container_uuid=new_uuid(),
        arguments={"command": ["true"], "stdin": False, "timeout": None, "kill_on_close": True},
        idle_limit=600,
    )
    host = new_uuid()
    with db.write() as conn:
        made = tickets.insert_for_agent(conn, host, "p", request, NOW)
    assert made.ticket not in repr(made) and made.proof not in repr(made)
    with db.write() as conn:
        assert tickets.take(conn, digest_of(made.ticket), agent_path(new_uuid()), NOW) is None
        found = tickets.take(conn, digest_of(made.ticket), agent_path(host), NOW)
        assert tickets.take(conn, digest_of(made.ticket), agent_path(host), NOW) is None
    assert found is not None
    project, content = found
    assert (project, content["proof"]) == ("p", made.proof)
    assert StreamRequest.of(content) == request


def test_where_an_agent_listens(db: Database) -> None:
    host = rows.host("host-1")
    with db.write() as conn:
        assert hosts.stream_place(conn, "host-1") is None
        hosts.register(conn, host, NOW)
        assert hosts.stream_place(conn, "host-1") is None
        hosts.set_stream_address(conn, "host-1", "127.0.0.1:6785")
        found = hosts.stream_place(conn, "host-1")
        assert found == StreamPlace(host_uuid=host.uuid, address="127.0.0.1:6785")
        hosts.set_stream_address(conn, "host-1", None)
        assert hosts.stream_place(conn, "host-1") is None
