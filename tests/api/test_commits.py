"""Images made of containers, kept on the host or sent to a registry: from the request to the (fake) engine and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api, front_of
from tests.api.test_actions import run
from tests.support.house import Rig, eventually, quick_settings, running

from zun.drivers.errors import Rejected, Unavailable
from zun.drivers.fake import Block, Fail
from zun.drivers.image import Credentials
from zun.model.lifecycle import Action
from zun.model.operation import OperationState
from zun.store import images, operations

C = "/v1/containers"
I = "/v1/images"  # noqa: E741
HOME = "registry.example.com:5000"
BOB = Credentials(username="bob", password="of-bob")


def test_commit_gives_an_image_to_its_own_project(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    answer = lively.post(f"{C}/web/commit", query="repository=mine&tag=v1")
    assert (answer.status, list(answer.json)) == (202, ["uuid"])
    rig.settled(uuid)
    shown = lively.get(f"{I}/{answer.json['uuid']}", roles="admin").json
    assert (shown["repo"], shown["tag"], shown["host"]) == ("mine", "v1", "host-1")
    assert shown["image_id"].startswith("sha256:") and shown["size"].isdigit()
    assert lively.get(f"{C}/web").json["status"] == "Running"
    mine = run(lively, rig, "again", image="mine:v1", image_pull_policy="never")
    assert rig.fakes.runtime.plan_of(mine).image == shown["image_id"]
    again = lively.post(f"{C}/web/commit", query="repository=mine&tag=v1")
    assert again.json == answer.json


def test_defect_08_a_committed_image_is_nobody_else_s(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    lively.post(f"{C}/web/commit", query="repository=busybox")
    rig.settled(uuid)
    with rig.db.read() as conn:
        (row,) = images.page(
            conn, project_id="p1", limit=9, after=None, sort_key="id", descending=False
        )
    other = run(lively, rig, "theirs", project="p2", image_pull_policy="ifnotpresent")
    assert rig.fakes.runtime.plan_of(other).image != row.image_id
    refused = lively.post(C, json={"image": "sneaky", "image_pull_policy": "never"}, roles="admin",
                          project="p2")  # fmt: skip
    assert rig.until(refused.json["uuid"], "Error").status_reason
    for name in (row.reference, f"docker.io/{row.reference}", f"docker.io/library/{row.reference}"):
        by_its_place = lively.post(C, json={"image": name}, project="p2")
        assert by_its_place.status == 400, name
    rebuilt = lively.post(f"{C}/theirs/rebuild", query={"image": row.reference}, project="p2")
    assert rebuilt.status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("repository=BAD", 400),
        ("repository=a&tag=b%20c", 400),
        ("repository=zun-commit/x/y", 400),
        ("repository=registry.example.com:5000/me/app", 403),
        ("repository=docker.io/me/app", 403),
        ("repository=registry.example.com&tag=5000/me/app", 400),
        ("repository=00000000-0000-4000-8000-000000000000/app", 202),
    ],
)
def test_names_of_commits(lively: Any, rig: Rig, query: str, status: int) -> None:
    run(lively, rig)
    assert lively.post(f"{C}/web/commit", query=query).status == status


def test_a_commit_that_fails_leaves_no_image(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    rig.fakes.runtime.script("commit", Fail(Rejected("no space")))
    answer = lively.post(f"{C}/web/commit", query="repository=mine")
    row = rig.settled(uuid)
    assert row is not None and (row.status, row.status_reason) == ("Running", "no space")
    assert lively.get(f"{I}/{answer.json['uuid']}", roles="admin").status == 404


# -- sent to a registry ----------------------------------------------------------------------------------------------


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Rig]:
    """A service that may send images to one registry."""
    settings = quick_settings(push_registries=(HOME, "*.example.org", "docker.io"))
    with running(tmp_path, settings=settings) as rig:
        yield rig


@pytest.fixture
def user(sending: Rig) -> Api:
    return front_of(sending)


def register(user: Api, domain: str = HOME, **fields: Any) -> str:
    fields = {"domain": domain, "username": "bob", "password": "of-bob", **fields}
    answer = user.post("/v1/registries", json={"registry": fields})
    assert answer.status == 201, answer.body
    uuid: str = answer.json["registry"]["uuid"]
    return uuid


def commit(
    user: Api, repository: str = f"{HOME}/team/app", status: int = 202, **fields: str
) -> Any:
    answer = user.post(f"{C}/web/commit", query={"repository": repository, "tag": "v1", **fields})
    assert answer.status == status, answer.body
    return answer


def committed_row(rig: Rig, uuid: str) -> Any:
    with rig.db.read() as conn:
        return images.get(conn, uuid)


def test_a_repository_with_a_domain_is_sent_there(user: Api, sending: Rig) -> None:
    uuid = run(user, sending)
    image = commit(user).json["uuid"]
    row = sending.settled(uuid)
    assert row is not None and (row.status, row.status_reason) == ("Running", None)
    shown = user.get(f"{I}/{image}", roles="admin", version="1.46").json
    assert (shown["repo"], shown["tag"]) == (f"{HOME}/team/app", "v1")
    assert shown["digest"].startswith("sha256:")
    assert "digest" not in user.get(f"{I}/{image}", roles="admin", version="1.45").json
    # Whoever asks the registry gets it; by its name alone nobody does.
    assert f"{HOME}/team/app:v1" not in sending.fakes.images.names()
    theirs = run(user, sending, "theirs", project="p2", image=f"{HOME}/team/app:v1")
    assert sending.fakes.runtime.plan_of(theirs).image == shown["image_id"]
    # Its own project has it on the host.
    before = sending.fakes.images.called("pull")
    run(user, sending, "ours", image=f"{HOME}/team/app:v1", image_pull_policy="never")
    assert sending.fakes.images.called("pull") == before
    # Its progress is told, and a second one keeps the row.
    with sending.db.read() as conn:
        (operation,) = [o for o in operations.of_container(conn, uuid) if o.action is Action.COMMIT]
        told = [e.kind for e in operations.events_of(conn, operation.uuid)]
    assert "progress" in told
    assert commit(user).json["uuid"] == image


def test_a_registry_with_a_password(user: Api, sending: Rig) -> None:
    sending.fakes.images.close_registry(HOME, BOB)
    uuid = run(user, sending)
    nobody = commit(user).json["uuid"]
    row = sending.settled(uuid)
    assert row is not None and "refuses" in str(row.status_reason)
    assert row.status == "Running"
    assert user.get(f"{I}/{nobody}", roles="admin").status == 404
    assert not [name for name in sending.fakes.images.names() if "team/app" in name]

    registry = register(user, password="wrong-and-secret")
    commit(user)
    row = sending.settled(uuid)
    assert row is not None and "refuses" in str(row.status_reason)
    user.request("PATCH", f"/v1/registries/{registry}", json={"registry": {"password": "of-bob"}})
    image = commit(user).json["uuid"]
    row = sending.settled(uuid)
    assert row is not None and row.status_reason is None
    made = committed_row(sending, image)
    assert made.digest and made.registry == HOME


def test_which_registry_it_is_sent_as(user: Api, sending: Rig) -> None:
    sending.fakes.images.close_registry(HOME, BOB)
    uuid = run(user, sending)
    register(user, password="wrong")
    other = register(user)
    refused = commit(user, status=409)
    assert "several registries" in refused.error["title"] and HOME in refused.error["title"]
    assert sending.settled(uuid) is not None
    # The one that says more of the name; nobody's counts for other names, nor one of another project.
    user.request("DELETE", f"/v1/registries/{other}")
    register(user, f"{HOME}/team")
    register(user, f"{HOME}/teams/x", password="wrong")
    user.post("/v1/registries", json={"registry": {"domain": f"{HOME}/team/app"}}, project="p2")
    commit(user)
    row = sending.settled(uuid)
    assert row is not None and row.status_reason is None
    # One that is named itself: also for the clients that take a port for a tag.
    by_uuid = commit(user, f"{register(user)}/team/named").json["uuid"]
    sending.settled(uuid)
    shown = user.get(f"{I}/{by_uuid}", roles="admin", version="1.46").json
    assert (shown["repo"], shown["tag"], bool(shown["digest"])) == (
        f"{HOME}/team/named",
        "v1",
        True,
    )
    # The container's own, whatever others there are.
    register(user, f"{HOME}/team", password="wrong")
    mine = register(user, HOME)
    run(user, sending, "other", image="team/base", registry=mine)
    answer = user.post(f"{C}/other/commit", query={"repository": f"{HOME}/team/other"})
    assert answer.status == 202
    assert committed_row(sending, answer.json["uuid"]) is not None


def test_only_where_the_operator_lets_it(user: Api, sending: Rig) -> None:
    uuid = run(user, sending)
    for domain in ("10.0.0.1:4000", "example.com", "evil.example.org.example.com", "localhost"):
        refused = commit(user, f"{domain}/team/app", 403)
        assert domain in refused.error["title"] and HOME in refused.error["title"]
    for repository in ("a.example.org/x", "A.Example.ORG/x", "docker.io/me/app"):
        image = commit(user, repository).json["uuid"]
        sending.settled(uuid)
        shown = user.get(f"{I}/{image}", roles="admin", version="1.46").json
        assert (shown["repo"], bool(shown["digest"])) == (repository, True)


def test_defect_08_an_image_that_is_being_sent_is_nobody_else_s(user: Api, sending: Rig) -> None:
    """A name that somebody else relies on, at a registry that refuses it, or has not yet said so."""
    victim = f"{HOME}/official/app:v1"
    genuine = sending.fakes.images.publish(victim)
    run(user, sending, "first", project="p2", image=victim)
    uuid, go_on, entered = run(user, sending), threading.Event(), threading.Event()
    sending.fakes.images.script("push", Block(go_on, Fail(Rejected("refuses")), entered=entered))
    commit(user, f"{HOME}/official/app")
    assert entered.wait(30)
    assert victim in sending.fakes.images.names(), "the engine has the name meanwhile"
    second = run(user, sending, "second", project="p2", image=victim)
    assert sending.fakes.runtime.plan_of(second).image == genuine.runtime_ref
    go_on.set()
    sending.settled(uuid)
    third = run(user, sending, "third", project="p2", image=victim, image_pull_policy="never")
    assert sending.fakes.runtime.plan_of(third).image == genuine.runtime_ref


def test_a_registry_that_is_away_is_asked_again(user: Api, sending: Rig) -> None:
    uuid = run(user, sending)
    sending.fakes.images.script("push", Fail(Unavailable("away"), times=2))
    image = commit(user).json["uuid"]
    row = sending.settled(uuid)
    assert row is not None and row.status_reason is None
    assert committed_row(sending, image).digest
    assert sending.fakes.images.called("push") == 3
    assert sending.fakes.runtime.called("commit") == 1, "made once, sent three times"


def test_a_delete_takes_the_place_of_a_commit_and_nothing_is_left(user: Api, sending: Rig) -> None:
    uuid = run(user, sending)
    sending.fakes.images.script("push", Fail(Unavailable("away"), times=1000))
    image = commit(user).json["uuid"]
    eventually(lambda: sending.fakes.images.called("push"))
    assert user.request("DELETE", f"{C}/web", query="stop=true").status == 204
    eventually(lambda: sending.row(uuid) is None)
    assert committed_row(sending, image) is None
    assert not [name for name in sending.fakes.images.names() if "team/app" in name]


def test_an_image_that_is_being_made_is_not_deleted(user: Api, sending: Rig) -> None:
    uuid, go_on = run(user, sending), threading.Event()
    sending.fakes.images.script("push", Block(go_on))
    image = commit(user).json["uuid"]
    refused = user.request("DELETE", f"{I}/{image}", roles="admin")
    assert (refused.status, "being made" in refused.error["title"]) == (409, True)
    run(user, sending, "other")
    again = user.post(f"{C}/other/commit", query={"repository": f"{HOME}/team/app", "tag": "v1"})
    assert again.status == 409
    go_on.set()
    sending.settled(uuid)
    assert user.request("DELETE", f"{I}/{image}", roles="admin").status == 200


def test_a_second_image_of_a_name_that_is_refused_leaves_the_truth(user: Api, sending: Rig) -> None:
    uuid = run(user, sending)
    image = commit(user).json["uuid"]
    sending.settled(uuid)
    first = committed_row(sending, image)
    run(user, sending, "other")
    sending.fakes.images.script("push", Fail(Rejected("the registry refuses it")))
    other = user.post(f"{C}/other/commit", query={"repository": f"{HOME}/team/app", "tag": "v1"})
    assert other.json["uuid"] == image
    row = sending.settled(user.get(f"{C}/other").json["uuid"])
    assert row is not None and "refuses" in str(row.status_reason)
    now = committed_row(sending, image)
    assert (now.digest, now.registry) == (None, HOME)
    assert now.image_id != first.image_id


def test_the_journal_holds_no_password(user: Api, sending: Rig, tmp_path: Path) -> None:
    register(user)
    uuid = run(user, sending)
    commit(user)
    sending.settled(uuid)
    with sending.db.read() as conn:
        (done, *_) = operations.of_container(conn, uuid)
    assert done.state is OperationState.DONE
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("zun.sqlite*"))
    assert b"of-bob" not in kept
