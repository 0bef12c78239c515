"""Templates that are wrong: every row is a 4xx that names the field, and leaves no row, no operation and no event."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zun.store import schema

K = "/v1/capsules"
BOX = {"image": "busybox"}
OK: dict[str, Any] = {"kind": "capsule", "metadata": {}, "spec": {"containers": [BOX]}}
HUGE = "9" * 5000
VOLUME = {"name": "data", "cinder": {"size": 1}}
MOUNT = {"name": "data", "mountPath": "/data"}
UUID = "8a3c1d0e-0000-4000-8000-000000000000"


def row(said: str, *path: str | int, wrong: Any, label: str = "") -> Any:
    """A good template but for one value, at `path`; `said` must be in the error's text."""
    whole = copy.deepcopy(OK)
    node: Any = whole
    for step in path[:-1]:
        node = node[step] if isinstance(node, list) or step in node else node.setdefault(step, {})
    node[path[-1]] = wrong
    shown = f"{'.'.join(map(str, path))}={ascii(wrong)[:40]}".replace("\\x00", "NUL")
    return pytest.param(whole, said, id=label or shown)


MEMBER: dict[str, list[Any]] = {
    "image": [None, 7, [], "", "x", "busy box", "b" * 256],
    "name": [1, "", "x", "-web", "a b", "n" * 256],
    "command": ["ls", {}, 5, [1], [None], ["a"] * 1025, ["x" * 40_000]],
    "args": ["ls", {}, 5, [1], [["a"]]],
    "env": ["A=1", [{"name": "A", "value": "1"}], {"A": 1}, {"A": None}, {"A=B": "x"}, {"A": "v" * 33_000}],
    "workDir": [1, [], "w" * 256],
    "imagePullPolicy": ["", "sometimes", 1, "ALWAYS"],
    "resources": [1, [], {"limits": {"cpu": 1}}, {"requests": 1}, {"requests": {"disk": 1}}],
    "ports": [80, {}, [80], [{}], [{"hostPort": 80}], [{"containerPort": -1}], [{"containerPort": 65536}],
              [{"containerPort": "80"}], [{"containerPort": 80, "protocol": "SCTP"}],
              [{"containerPort": 80, "hostPort": 8080}], [{"containerPort": 80, "extra": 1}],
              [{"containerPort": 80, "hostPort": 0}], [{"containerPort": 80.5}]],
    "volumeMounts": [1, {}, [{}], [{"name": "data"}], [{"mountPath": "/a"}], [{"name": "nosuch", "mountPath": "/a"}],
                     [{"name": "data", "mountPath": "/a", "subPath": "x"}], [{"name": "d", "mountPath": "/a"}],
                     [{"name": "data", "mountPath": "/a", "readOnly": "perhaps"}]],
    "stdin": [None, 1, "yes", []],
    "tty": [None, 1, "on", {}],
    "privileged": [True],
    "securityContext": [{}],
    "nets": [[]],
}  # fmt: skip

ROWS = [
    *(
        row(field, "spec", kind, 0, field, wrong=value)
        for field, values in MEMBER.items()
        for value in values
        for kind in ("containers",)
    ),
    *(
        row(field, "spec", "containers", 0, "resources", "requests", field, wrong=value)
        for field, values in {
            "cpu": [None, "", "a", "1e3", "-1", 0, 0.01, 16.5, "99", True, [], {}, 10**30, HUGE],
            "memory": [None, "", "512m", "-5", 3, 9000, 4.5, True, [], "1e3", 10**30, HUGE],
        }.items()
        for value in values
    ),
    *(
        row("initContainers", "spec", "initContainers", wrong=value)
        for value in (1, "x", {}, [1], [None], [{}], [{"command": ["true"]}], [{**BOX, "zzz": 1}], [BOX] * 33)
    ),
    *(
        row("containers", "spec", "containers", wrong=value)
        for value in (None, [], {}, "x", 1, [None], [[]], ["busybox"], [BOX] * 33)
    ),
    row("spec.volumes[0].cinder: no volume service", "spec",
        wrong={"containers": [{**BOX, "volumeMounts": [MOUNT]}], "volumes": [VOLUME]}, label="volume-of-cinder"),
    row("spec.volumes[0].cinder: no volume service", "spec",
        wrong={"containers": [BOX], "initContainers": [{**BOX, "volumeMounts": [{**MOUNT, "readOnly": True}]}],
               "volumes": [{"name": "data", "cinder": {"volumeID": UUID}}]}, label="volume-of-an-init-container"),
    row("spec.volumes[0].name: no container mounts", "spec", "volumes", wrong=[VOLUME]),
    row("exactly one of volumeID and size", "spec",
        wrong={"containers": [{**BOX, "volumeMounts": [MOUNT]}], "volumes": [{"name": "data", "cinder": {}}]},
        label="volume-of-nothing"),
    row("exactly one of volumeID and size", "spec",
        wrong={"containers": [{**BOX, "volumeMounts": [MOUNT]}],
               "volumes": [{"name": "data", "cinder": {"size": 1, "volumeID": UUID}}]}, label="volume-of-both"),
    row("another volume has this name", "spec",
        wrong={"containers": [{**BOX, "volumeMounts": [MOUNT]}], "volumes": [VOLUME, VOLUME]}, label="volume-twice"),
    *(
        row("volumes", "spec", "volumes", wrong=value)
        for value in (1, {}, "x", [1], [{}], [{"name": "data"}], [{"cinder": {"size": 1}}],
                      [{"name": "data", "cinder": {"size": "x"}}], [{"name": "data", "cinder": {"size": 0}}],
                      [{"name": "data", "cinder": {"volumeID": "short"}}], [{"name": "data", "nfs": {}}],
                      [{**VOLUME, "cinder": {"size": 1, "autoRemove": 2}}])
    ),
    *(row("restartPolicy", "spec", "restartPolicy", wrong=value) for value in (None, "always", "", 1, [])),
    *(row("restartPolicy", "restartPolicy", wrong=value) for value in (None, "always", "", 1, [])),
    row("template.restartPolicy: says Never", "spec", wrong={"containers": [BOX], "restartPolicy": "Always"},
        label="two-policies"),
    *(row("kind", "kind", wrong=value) for value in (None, "pod", "", 1)),
    *(row("capsuleVersion", "capsuleVersion", wrong=value) for value in (None, "v1", "", 1)),
    *(row("metadata", "metadata", wrong=value) for value in (None, "x", [], 1)),
    *(row("name", "metadata", "name", wrong=value) for value in (1, "", "x", "a b", "n" * 256)),
    *(row("labels", "metadata", "labels", wrong=value)
      for value in ("a", [{"app": "web"}], {"a": {}}, {"a": []}, {"": "x"}, {"a": "v" * 5000})),
    *(row("annotations", "metadata", "annotations", wrong=value)
      for value in ("a", [], 1, {"": 1}, {"a": "x" * 61_000}, {str(n): 1 for n in range(257)})),
    *(row("spec", "spec", wrong=value) for value in (None, "x", [], 1, {})),
    *(row("availabilityZone", "availabilityZone", wrong=value) for value in (None, "", 1, "z" * 256)),
    row("nets", "nets", wrong=[{"network": "n"}]),
    row("zzz", "zzz", wrong=1),
]  # fmt: skip
# The policy beside the spec says something else than the one in it.
next(r for r in ROWS if r.id == "two-policies").values[0]["restartPolicy"] = "Never"


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


WHOLE = [
    pytest.param({}, "template", id="no-template"),
    pytest.param({"template": None}, "template", id="null"),
    pytest.param({"template": 7}, "template", id="number"),
    pytest.param({"template": []}, "template", id="list"),
    pytest.param({"template": ""}, "template", id="empty-text"),
    pytest.param({"template": "{"}, "template: is not valid JSON", id="open-brace"),
    pytest.param({"template": "kind: capsule"}, "template: is not valid JSON", id="yaml"),
    pytest.param({"template": "[]"}, "template", id="text-of-a-list"),
    pytest.param({"template": '"x"'}, "template", id="text-of-a-text"),
    pytest.param({"template": json.dumps({**OK, "zzz": 1})}, "zzz", id="text-of-a-wrong-template"),
    pytest.param({"template": json.dumps({**OK, "metadata": {"name": "a\0b"}})}, "NUL", id="text-with-nul"),
    pytest.param({"template": json.dumps({**OK, "metadata": {"annotations": deep(40)}})}, "nested", id="deep-text"),
    pytest.param({"template": {**OK, "metadata": {"annotations": deep(40)}}}, "nested", id="deep"),
    pytest.param({"template": {**OK, "metadata": {"name": "a\x00b"}}}, "template: must not hold a NUL", id="nul"),
    pytest.param({"template": OK, "run": True}, "run", id="another-key"),
    pytest.param({"template": {"metadata": {}, "spec": {"containers": [BOX]}}}, "kind", id="no-kind"),
    pytest.param({"template": {"kind": "capsule", "spec": {"containers": [BOX]}}}, "metadata", id="no-metadata"),
    pytest.param({"template": {"kind": "capsule", "metadata": {}}}, "spec", id="no-spec"),
]  # fmt: skip


@pytest.fixture(scope="module")
def house(make_api: Any) -> Any:
    api = make_api()
    api.seed_host()
    return api


def _rows(api: Any) -> Any:
    with api.db.read() as conn:
        count = sa.select(sa.func.count()).select_from(schema.capsules)
        return api.counts(), conn.execute(count).scalar_one()


def _refused(api: Any, body: Any, said: str) -> None:
    before = _rows(api)
    answer = api.post(K, json=body, roles="admin", project="p1")
    assert answer.status == 400, answer.body[:400]
    title = answer.error["title"]
    assert said in title, title
    assert len(title) < 1500
    assert "\x00" not in title
    assert _rows(api) == before


@pytest.mark.parametrize(("template", "said"), ROWS)
def test_defect_22_a_wrong_template(house: Any, template: Any, said: str) -> None:
    _refused(house, {"template": template}, said)


@pytest.mark.parametrize(("body", "said"), WHOLE)
def test_a_wrong_body(house: Any, body: Any, said: str) -> None:
    _refused(house, body, said)


def test_the_media_type_counts(house: Any) -> None:
    for kind in ("text/plain", "application/x-yaml", ""):
        answer = house.post(K, body=b"{}", headers={"Content-Type": kind} if kind else {})
        assert answer.status == 415
    assert (
        house.post(K, body=b"x" * 70_000, headers={"Content-Type": "application/json"}).status
        == 413
    )


def test_secrets_are_not_repeated(house: Any) -> None:
    secret = "hunter2-" * 3
    for field, value in (
        ("env", {"TOKEN": [secret]}),
        ("env", secret),
        ("args", secret),
        ("command", secret),
    ):
        wanted = {**OK, "spec": {"containers": [{**BOX, field: value}]}}
        answer = house.post(K, json={"template": wanted})
        assert answer.status == 400
        assert secret not in answer.body.decode()


TEXT = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
MEMBERS = st.dictionaries(st.sampled_from(sorted(MEMBER)) | TEXT, VALUES, max_size=5).map(
    lambda fields: {**BOX, **fields}
)
SPECS = st.fixed_dictionaries(
    {"containers": st.lists(MEMBERS, max_size=2)},
    optional={
        "initContainers": st.lists(MEMBERS, max_size=2) | VALUES,
        "volumes": VALUES,
        "restartPolicy": st.sampled_from(["Always", "Never"]) | VALUES,
    },
)
TEMPLATES = st.fixed_dictionaries(
    {"kind": st.just("capsule"), "metadata": st.just({}) | VALUES, "spec": SPECS | VALUES},
    optional={"restartPolicy": VALUES, "availabilityZone": VALUES, "capsuleVersion": VALUES},
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(template=TEMPLATES, text=st.booleans(), version=st.sampled_from(["1.1", "1.31", "1.40"]))
def test_random_templates_never_break_anything(
    house: Any, template: Any, text: bool, version: str
) -> None:
    body = {"template": json.dumps(template) if text else template}
    sent = json.dumps(body).encode()
    before = _rows(house)
    answer = house.post(K, body=sent, headers={"Content-Type": "application/json"}, version=version)
    assert answer.status < 500, answer.body
    if answer.status == 202:
        assert answer.json["uuid"]
    else:
        assert answer.error["title"]
        assert _rows(house) == before
