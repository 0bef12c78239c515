"""Rules (contract 10): names, defaults, and how often oslo.policy is asked."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from zun.api.policies import list_rules
from zun.api.policies.enforcer import Enforcer
from zun.conf import load
from zun.service.caller import Caller
from zun.service.errors import Forbidden

MEMBER = Caller(user_id="u1", project_id="p1", roles=frozenset({"member"}), request_id="req-1")
ADMIN = Caller(
    user_id="u0", project_id="p0", roles=frozenset({"admin"}), request_id="req-2", is_admin=True
)
OWN = {"project_id": "p1", "user_id": "u1"}
FOREIGN = {"project_id": "p2", "user_id": "u2"}

READER = [
    "container:get_one", "container:get_all", "container:logs", "container:actions", "container:top", "container:stats",
    "event:get_all", "image:search", "registry:get_one", "registry:get_all", "quota:get", "quota:get_default",
    "availability_zones:get_all", "capsule:get", "capsule:get_all",
]  # fmt: skip
MEMBERS = [
    "container:create", "container:update", "container:delete", "container:start", "container:stop", "container:reboot",
    "container:pause", "container:unpause", "container:kill", "container:rebuild", "container:rename",
    "container:execute", "container:execute_resize", "container:attach", "container:resize",
    "container:get_archive", "container:put_archive", "container:resize_container",
    "container:commit", "container:network_attach", "container:network_detach", "container:add_security_group",
    "container:remove_security_group", "registry:create", "registry:update", "registry:delete",
    "capsule:create", "capsule:delete",
]  # fmt: skip
ADM = [
    "container:create:runtime", "container:create:image_pull_policy", "container:create:requested_destination",
    "container:get_one_all_projects", "container:get_all_all_projects", "container:delete_all_projects",
    "container:delete_force", "container:get_one:host", "container:get_one:image_pull_policy",
    "container:get_one:privileged", "container:get_one:runtime", "container:action:events", "host:get_all", "host:get",
    "host:drain", "host:maintenance", "host:enable", "host:delete",
    "zun-service:get_all", "zun-service:delete", "zun-service:enable", "zun-service:disable", "zun-service:force_down",
    "registry:get_all_all_projects", "quota:update", "quota:delete", "quota_class:get", "quota_class:update",
    "image:pull", "image:get_all", "image:get_one", "image:delete", "network:create", "network:delete",
    "event:get_all_all_projects", "capsule:get_one_all_projects", "capsule:get_all_all_projects",
    "capsule:delete_all_projects", "capsule:get:host",
]  # fmt: skip


def _with(role: str, project: str = "p1") -> Caller:
    return Caller(user_id="u1", project_id=project, roles=frozenset({role}), request_id="req-3")


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
    assert named == {*READER, *MEMBERS, *ADM, "container:create:privileged"}


@pytest.mark.parametrize("rule", [*READER, *MEMBERS])
def test_who_is_in_the_project_and_administrators(enforcer: Enforcer, rule: str) -> None:
    reads = rule in READER
    for role, allowed in (("reader", reads), ("member", True), ("manager", True), ("other", False)):
        assert enforcer.allows(_with(role), rule, OWN) is allowed, role
        assert not enforcer.allows(_with(role), rule, FOREIGN), role
    assert enforcer.allows(ADMIN, rule, FOREIGN)


def test_rules_are_in_project_scope_and_name_upstreams_default() -> None:
    for rule in list_rules():
        if ":" not in rule.name:
            continue
        assert rule.scope_types == ["project"], rule.name
        by_role = rule.name in (*READER, *MEMBERS)
        assert (rule.deprecated_rule is not None) == by_role, rule.name
        assert "admin_or_owner" not in rule.check_str, rule.name


def _conf(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "zun.conf"
    path.write_text(f"[oslo_policy]\n{text}\n")
    return load([path])


@pytest.mark.filterwarnings("error")
def test_new_defaults_alone_and_without_a_warning(tmp_path: Path, caplog: Any) -> None:
    for conf in (load([]), _conf(tmp_path, "enforce_new_defaults = true")):
        enforcer = Enforcer(conf=conf)
        assert not enforcer.allows(_with("other"), "container:get_one", OWN)
        assert not enforcer.allows(_with("reader"), "container:create", OWN)
        assert enforcer.allows(_with("reader"), "container:get_one", OWN)
    assert not [record for record in caplog.records if "oslo_policy" in record.name]


def test_upstreams_default_is_accepted_where_the_operator_says_so(tmp_path: Path) -> None:
    enforcer = Enforcer(conf=_conf(tmp_path, "enforce_new_defaults = false"))
    for rule in (*READER, *MEMBERS):
        assert enforcer.allows(_with("other"), rule, OWN)
        assert not enforcer.allows(_with("other"), rule, FOREIGN)
    for rule in ADM:
        assert not enforcer.allows(_with("other"), rule, OWN)


@pytest.mark.parametrize("rule", ADM)
def test_administrators_only(enforcer: Enforcer, rule: str) -> None:
    for role in ("reader", "member", "manager"):
        assert not enforcer.allows(_with(role), rule, OWN)
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


@pytest.mark.parametrize("tool", ["sample", "policy"])
def test_the_tools_of_oslo_policy_work(tmp_path: Path, tool: str) -> None:
    """By the entry points of pyproject.toml, whether or not this checkout is the one that is installed."""
    root = Path(__file__).resolve().parents[2]
    points = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "zun_under_test-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zun-under-test\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {where}" for name, where in names.items())
            for group, names in points.items()
        )
    )
    answer = subprocess.run(
        [
            sys.executable, "-c",
            f"import sys; from oslo_policy import generator as g; sys.exit(g.generate_{tool}())",
            "--namespace", "zun",
        ],
        env={"PYTHONPATH": f"{tmp_path}:{root / 'src'}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    for rule in (*READER, *MEMBERS, *ADM, "container:create:privileged", "project_reader"):
        assert f'"{rule}":' in answer.stdout, rule
