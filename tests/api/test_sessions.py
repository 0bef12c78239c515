"""Interactive sessions over the API: attach, execute without waiting, and the size of terminals (contract 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.api.conftest import Api, Maker, front_of
from tests.support.agentstreams import listen, run
from tests.support.house import Rig, caller, eventually

from zun.api.settings import ApiSettings
from zun.bus.channel import open_channel
from zun.model.container import Draft
from zun.model.lifecycle import Status
from zun.model.session import Session, StreamKind, StreamRequest, digest_of
from zun.store import hosts, sessions, tickets
from zun.work.clock import utcnow

C = "/v1/containers"


def _parts(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return f"{parts.scheme}://{parts.netloc}{parts.path}", query


def _redeemed(api: Api, query: dict[str, str]) -> Any:
    with api.db.write() as conn:
        return sessions.redeem(
            conn, digest_of(query["token"]), query["uuid"], query.get("exec_id"), utcnow()
        )


def test_attach_answers_a_url_as_a_string(api: Api) -> None:
    row = api.seed(interactive=True, tty=True)
    answer = api.get(f"{C}/{row.uuid}/attach")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    base, query = _parts(answer.json)
    assert base == "ws://zun.test:6784/"
    assert (
        set(query) == {"token", "uuid"} and query["uuid"] == row.uuid and len(query["token"]) == 43
    )
    session = _redeemed(api, query)
    assert isinstance(session, Session)
    assert (session.kind, session.tty, session.project_id, session.user_id, session.host) == (
        StreamKind.ATTACH, True, "p1", "alice", row.host,
    )  # fmt: skip
    assert (session.expires_at - session.issued_at).total_seconds() == 60
    assert (session.session_limit, session.idle_limit) == (86_400, 3_600)


def test_attach_of_one_that_is_not_interactive_or_does_not_run(api: Api) -> None:
    row = api.seed()
    refused = api.get(f"{C}/{row.uuid}/attach")
    assert (refused.status, refused.error["code"]) == (400, "container.no-interactive-flag")
    stopped = api.seed(interactive=True, status=Status.STOPPED)
    assert api.get(f"{C}/{stopped.uuid}/attach").status == 409
    assert api.get(f"{C}/{row.uuid}/attach", project="p2").status == 404


def test_attach_from_1_47_on_names_the_page_too(api: Api) -> None:
    row = api.seed(interactive=True)
    answer = api.get(f"{C}/{row.uuid}/attach", version="1.47").json
    assert set(answer) == {"url", "console_url", "expires_at"}
    _, query = _parts(answer["url"])
    assert _parts(answer["console_url"]) == ("http://zun.test:6784/console/", query)
    assert datetime.fromisoformat(answer["expires_at"]) > utcnow()


def test_execute_without_waiting_is_a_session(api: Api) -> None:
    row = api.seed()
    answer = api.post(
        f"{C}/{row.uuid}/execute", query={"command": "sh -c 'x y'", "run": "False", "interactive": "True"}
    )  # fmt: skip
    assert answer.status == 200
    shown = answer.json
    assert set(shown) == {"output", "exit_code", "exec_id", "proxy_url"}
    assert shown["output"] is None and shown["exit_code"] is None
    asked = api.answers["make_exec"]
    assert (asked["command"], asked["tty"], asked["stdin"]) == (["sh", "-c", "x y"], True, True)
    _, query = _parts(shown["proxy_url"])
    assert query["exec_id"] == shown["exec_id"]
    session = _redeemed(api, query)
    assert isinstance(session, Session) and session.kind is StreamKind.EXEC and session.tty
    plain = api.post(f"{C}/{row.uuid}/execute", query={"command": "ls", "run": "false"})
    assert plain.status == 200
    assert (api.answers["make_exec"]["tty"], api.answers["make_exec"]["stdin"]) == (False, False)


def test_execute_from_1_47_on(api: Api) -> None:
    row = api.seed()
    where = f"{C}/{row.uuid}/execute"
    session = api.post(where, query="command=sh&run=false&kill_on_close=true", version="1.47").json
    assert set(session) == {
        "output", "exit_code", "exec_id", "proxy_url", "console_url", "expires_at", "stdout", "stderr",
    }  # fmt: skip
    assert _parts(session["console_url"])[1]["exec_id"] == session["exec_id"]
    waited = api.post(where, json={"command": "cat", "stdin": "words"}, version="1.47").json
    assert (waited["stdout"], waited["stderr"], waited["console_url"]) == ("root\ufffd\n", "", None)
    assert api.answers["execute"]["stdin"] == "words"


@pytest.mark.parametrize(
    ("query", "version", "named"),
    [
        ("command=sh&stdin=x", "1.46", "stdin"),
        ("command=sh&kill_on_close=true&run=false", "1.46", "kill_on_close"),
        ("command=sh&run=false&stdin=x", "1.47", "stdin"),
        ("command=sh&kill_on_close=true", "1.47", "kill_on_close"),
        ("command=sh&kill_on_close=perhaps&run=false", "1.47", "kill_on_close"),
    ],
)
def test_execute_refuses_what_does_not_go_together(
    api: Api, query: str, version: str, named: str
) -> None:
    row = api.seed()
    refused = api.post(f"{C}/{row.uuid}/execute", query=query, version=version)
    assert refused.status == 400 and named in refused.error["title"]
    assert "make_exec" not in api.answers and "execute" not in api.answers


def test_sizes_of_terminals(api: Api) -> None:
    row = api.seed()
    assert api.post(f"{C}/{row.uuid}/resize", query="h=24&w=80").status == 200
    assert api.answers["resize"] == {"uuid": row.uuid, "h": 24, "w": 80}
    good = f"h=24&w=80&exec_id={'a' * 64}"
    assert api.post(f"{C}/{row.uuid}/execute_resize", query=good).json is None
    assert api.answers["resize_exec"]["exec_id"] == "a" * 64
    unknown = api.post(f"{C}/{row.uuid}/execute_resize", query=f"h=1&w=1&exec_id={'0' * 64}")
    assert (unknown.status, unknown.error["code"]) == (400, "container.invalid")


@pytest.mark.parametrize(
    "query",
    ["", "h=0&w=1", "h=1&w=65536", "h=x&w=1", "w=1", "h=-1&w=1", "h=1&w=None", "h=1&w=1&exec_id=ABC"],
)  # fmt: skip
def test_sizes_that_are_none(api: Api, query: str) -> None:
    row = api.seed()
    assert api.post(f"{C}/{row.uuid}/resize", query=query).status == 400
    assert api.post(f"{C}/{row.uuid}/execute_resize", query=query).status == 400


def test_defect_03_an_exec_of_another_container_is_not_found(api: Api) -> None:
    mine, other = api.seed(), api.seed(name="other", project_id="p2")
    made = api.post(f"{C}/{other.uuid}/execute", query="command=sh&run=false", project="p2").json
    query = f"h=1&w=1&exec_id={made['exec_id']}"
    refused = api.post(f"{C}/{mine.uuid}/execute_resize", query=query)
    assert refused.status == 404
    assert "resize_exec" not in api.answers
    assert api.post(f"{C}/{other.uuid}/execute_resize", query=query).status == 404
    assert api.post(f"{C}/{other.uuid}/execute_resize", query=query, project="p2").status == 200


@pytest.mark.parametrize(
    ("settings", "base", "console"),
    [
        ({"wsproxy_url": "wss://c.example"}, "wss://c.example/", "https://c.example/console/"),
        ({"wsproxy_url": "ws://c.example:1/x/"}, "ws://c.example:1/x/", "http://c.example:1/x/console/"),
        ({"wsproxy_url": "wss://c.example/", "console_url": "https://d.example/y"}, "wss://c.example/",
         "https://d.example/y/console/"),
    ],
)  # fmt: skip
def test_where_sessions_are_is_configured(
    make_api: Maker, settings: dict[str, str], base: str, console: str
) -> None:
    api = make_api(settings=replace(ApiSettings(), **settings))  # type: ignore[arg-type]
    row = api.seed(interactive=True)
    answer = api.get(f"{C}/{row.uuid}/attach", version="1.47").json
    assert (_parts(answer["url"])[0], _parts(answer["console_url"])[0]) == (base, console)


def test_without_a_proxy_there_are_no_sessions(make_api: Maker) -> None:
    api = make_api(settings=ApiSettings())
    row = api.seed(interactive=True)
    assert api.get(f"{C}/{row.uuid}/attach").status == 503


# -- on a service that works -----------------------------------------------------------------------------------------


def test_too_early_is_a_400_and_a_session_is_as_it_was_granted(rig: Rig) -> None:
    """From the URL to the shell: what zun-wsproxy does in between is done by hand."""
    made = rig.create(Draft(image="busybox", run=True, command=["sleep", "9"]))
    row = rig.until(made.uuid, "Running")
    api = front_of(rig)
    mine: dict[str, Any] = {"project": row.project_id, "user": caller().user_id}
    answer = api.post(
        f"{C}/{row.uuid}/execute", query="command=sh&run=false&interactive=true", **mine
    )
    _, query = _parts(answer.json["proxy_url"])
    size = f"h=30&w=90&exec_id={query['exec_id']}"
    assert api.post(f"{C}/{row.uuid}/execute_resize", query=size, **mine).status == 400
    assert api.post(f"{C}/{row.uuid}/resize", query="h=1&w=1", **mine).status == 400  # no terminal

    session = _redeemed(api, query)
    assert isinstance(session, Session)
    request = StreamRequest(
        kind=session.kind, container_uuid=session.container_uuid, arguments={"exec_id": session.exec_id}
    )  # fmt: skip
    with rig.db.write() as conn:
        place = hosts.stream_place(conn, session.host)
        assert place is not None
        ticket = tickets.insert_for_agent(
            conn, place.host_uuid, session.project_id, request, utcnow()
        )

    async def main() -> None:
        channel = await open_channel(place, ticket)
        resized = api.post(f"{C}/{row.uuid}/execute_resize", query=size, **mine)
        assert resized.status == 200
        await channel.send(b"stty size\n")
        await listen(channel, lambda heard: b"30 90" in heard.out)
        await channel.close()

    run(main())
    endpoint = rig.house.agent._endpoint
    eventually(lambda: endpoint.sessions == 0)
    assert rig.fakes.runtime.exec_of(query["exec_id"]).exit_code is None  # left as docker leaves it
