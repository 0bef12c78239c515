"""Rules (contract 10): names, defaults, and how often oslo.policy is asked."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from zun.api.policies import list_rules
from zun.api.policies.enforcer import Enforcer
from zun.service.caller import Caller
from zun.service.errors import Forbidden

MEMBER = Caller(user_id="u1", project_id="p1", roles=frozenset({"member"}), request_id="req-1")
ADMIN = Caller(
    user_id="u0", project_id="p0", roles=frozenset({"admin"}), request_id="req-2", is_admin=True
)
OWN = {"project_id": "p1", "user_id": "u1"}
FOREIGN = {"project_id": "p2", "user_id": "u2"}

A_O = [
    "create", "get_one", "get_all", "update", "delete", "start", "stop", "reboot", "pause", "unpause", "kill",
    "rebuild", "rename", "logs", "execute", "actions",
]  # fmt: skip
ADM = [
    "container:create:runtime", "container:create:image_pull_policy", "container:create:requested_destination",
    "container:get_one_all_projects", "container:get_all_all_projects", "container:delete_all_projects",
    "container:delete_force", "container:get_one:host", "container:get_one:image_pull_policy",
    "container:get_one:privileged", "container:get_one:runtime", "container:action:events", "host:get_all", "host:get",
    "zun-service:get_all", "event:get_all_all_projects",
]  # fmt: skip


@pytest.fixture(scope="module")
def enforcer() -> Enforcer:
    return Enforcer()


def test_names_are_unique_and_documented() -> None:
    rules = list_rules()
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.description
        if ":" in rule.name:
            assert rule.operations


def test_every_rule_is_tested_here() -> None:
    named = {rule.name for rule in list_rules() if ":" in rule.name}
    assert named == {f"container:{name}" for name in A_O} | set(ADM) | {
        "container:create:privileged",
        "event:get_all",
    }


@pytest.mark.parametrize("name", A_O)
def test_owners_and_administrators(enforcer: Enforcer, name: str) -> None:
    rule = f"container:{name}"
    assert enforcer.allows(MEMBER, rule, OWN)
    assert not enforcer.allows(MEMBER, rule, FOREIGN)
    assert enforcer.allows(ADMIN, rule, FOREIGN)


@pytest.mark.parametrize("rule", ADM)
def test_administrators_only(enforcer: Enforcer, rule: str) -> None:
    assert not enforcer.allows(MEMBER, rule, OWN)
    assert enforcer.allows(ADMIN, rule, FOREIGN)


def test_nobody(enforcer: Enforcer) -> None:
    assert not enforcer.allows(ADMIN, "container:create:privileged")
    assert not enforcer.allows(ADMIN, "container:nosuch")
    with pytest.raises(Forbidden, match="container:create:privileged"):
        enforcer.authorize(ADMIN, "container:create:privileged")


def test_who_is_an_administrator(enforcer: Enforcer) -> None:
    assert enforcer.is_admin("u", "p", frozenset({"admin"}))
    assert not enforcer.is_admin("u", "p", frozenset({"member", "administrator"}))


def test_a_policy_file_is_read_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    seconds = itertools.count()
    enforcer = Enforcer(policy_file=path, clock=lambda: float(next(seconds)))
    assert not enforcer.allows(MEMBER, "host:get_all")
    path.write_text(
        '"host:get_all": ""\n"context_is_admin": "role:boss"\n"container:get_one:labels": "!"\n'
    )
    assert enforcer.allows(MEMBER, "host:get_all")
    assert enforcer.is_admin("u", "p", frozenset({"boss"}))
    assert "labels" in enforcer.field_rules("container:get_one:")
    assert "labels" in enforcer.hidden_fields(ADMIN, "container:get_one:", OWN)


def test_oslo_is_asked_once_a_second_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    enforcer = Enforcer(clock=lambda: 5.0)
    asked: list[str] = []
    real = enforcer._enforcer.enforce
    monkeypatch.setattr(
        enforcer._enforcer, "enforce", lambda rule, *rest: asked.append(rule) or real(rule, *rest)
    )
    for _ in range(1000):
        enforcer.allows(MEMBER, "container:get_one", OWN)
    assert asked == ["container:get_one"]


def test_verdicts_are_bounded() -> None:
    enforcer = Enforcer(clock=lambda: 5.0)
    for number in range(5000):
        enforcer.allows(MEMBER, "container:get_one", {"project_id": f"p{number}"})
    assert len(enforcer._verdicts) <= 4096


def test_owner_rules_over_http(make_api: Any) -> None:
    api = make_api(policy='"container:stop": "role:operator"\n')
    api.seed()
    refused = api.post("/v1/containers/web/stop")
    assert (refused.status, "container:stop" in refused.error["title"]) == (403, True)
    # stop=true on a running container is a stop, too.
    assert api.request("DELETE", "/v1/containers/web", query="stop=true").status == 403
    # A row of another project stays a 404, whatever the rules say.
    assert api.post("/v1/containers/web/stop", project="p2").status == 404
    assert api.post("/v1/containers/web/stop", roles="operator").status == 202
