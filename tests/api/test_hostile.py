"""Bad input: every row is a 4xx that names what is wrong, and leaves no row, no operation and no event."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zun.api.middleware.noauth import NoAuth
from zun.api.versions import MAX_VERSION

JSON = {"Content-Type": "application/json"}
C = "/v1/containers"
WEB = "/v1/containers/web"
OK = {"image": "busybox"}
HUGE = "9" * 5000
LONG = "x" * 10_000


def create(
    expected: str,
    *,
    status: int = 400,
    version: str | None = "latest",
    name: str = "",
    **fields: Any,
) -> Any:
    """A create whose `fields` are wrong; `expected` must be in the error's text."""
    body = {**OK, **fields}
    label = name or "-".join(f"{key}={str(value)[:30]}" for key, value in fields.items()) or "empty"
    return pytest.param(
        "POST", C, {"json": body, "version": version}, status, expected, id=f"create-{label}"
    )


def raw(expected: str, body: bytes, label: str, *, status: int = 400, headers: Any = JSON, path: str = C,
        method: str = "POST") -> Any:  # fmt: skip
    return pytest.param(
        method, path, {"body": body, "headers": headers}, status, expected, id=f"raw-{label}"
    )


def ask(
    method: str, path: str, expected: str, *, status: int = 400, label: str = "", **kwargs: Any
) -> Any:
    shown = label or f"{method} {path[:60]} {str(kwargs.get('query', kwargs.get('json', '')))[:50]}"
    return pytest.param(method, path, kwargs, status, expected, id=shown)


#: field -> values that are all wrong for it.
WRONG: dict[str, list[Any]] = {
    "image": [None, 7, [], {"name": "busybox"}, True, "", "x", "--", "busy box", "busybox\n", "b" * 256, "bb\x00b"],
    "name": [1, True, [], {}, "", "x", "-web", "a b", "web\n", "w/b", "\N{SNOWMAN}web", "n" * 256, "a\x00b"],
    "command": ["ls", {}, 5, True, [None], [{}], [["a"]], ["a\x00"], ["a"] * 1025, ["x" * 40_000], ["y" * 30_000] * 2],
    "entrypoint": ["ls", {}, 5, [None], [["a"]], ["\x00"]],
    "cpu": [None, "", "a", "1e3", "-1", " 1", True, [], {}, 0, 0.01, 16.5, "99", -1, 10**30, 1e300, "1.", HUGE],
    "memory": [None, "", "512m", "-5", 3, 9000, 4.5, True, [], {}, "1e3", 10**30, HUGE, "\u0665\u0661\u0662", 2**63],
    "disk": [None, "", "10G", 0, 161, -1, 1.5, False, [], {}, 2**64, HUGE],
    "cpu_policy": [None, "", "Shared", 1, [], "exclusive"],
    "environment": ["A=1", [], 1, {"A": 1}, {"A": None}, {"A": {}}, {"A": ["x"]}, {"": "x"}, {"A=B": "x"},
                    {"A": "x\x00"}, {"A\x00": "x"}, {"k" * 256: "x"}, {"A": "v" * 33_000}],
    "labels": ["a", [], 1, {"a": {}}, {"a": []}, {"a": {"b": {"c": 1}}}, {"": "x"}, {"a": "v" * 5000}, {"a\x00": "x"},
               {"k" * 256: "x"}, {str(n): "x" for n in range(257)}],
    "workdir": [1, [], {}, True, "w" * 256, "/a\x00b"],
    "hostname": [None, "", 1, [], "a b", "a_b/", "h" * 64, "h\n", "\N{SNOWMAN}"],
    "interactive": [None, "", "yes", 1, 0, "TRUE", [], {}],
    "tty": [None, "y", 2, []],
    "image_driver": ["", "nosuch", 1, [], {}, "Docker"],
    "image_pull_policy": ["", "sometimes", 1, [], {}, "ALWAYS", "if-not-present"],
    "restart_policy": ["always", [], 1, {}, {"Name": ""}, {"Name": None}, {"Name": "sometimes"}, {"Name": []},
                       {"MaximumRetryCount": 1}, {"Name": "always", "MaximumRetryCount": 2},
                       {"Name": "unless-stopped", "MaximumRetryCount": "3"},
                       {"Name": "on-failure", "MaximumRetryCount": -1},
                       {"Name": "on-failure", "MaximumRetryCount": "x"},
                       {"Name": "on-failure", "MaximumRetryCount": 2**31},
                       {"Name": "on-failure", "MaximumRetryCount": [1]}, {"Name": "no", "Extra": 1}],
    "auto_remove": ["true", "True", 1, 0, [], {}],
    "auto_heal": [None, "yes", 1, []],
    "runtime": ["", 1, [], {}, "r" * 256, "r\x00"],
    "privileged": [None, "yes", 1, []],
    "security_groups": ["default", {}, 1, [""], [None], [1], [[]], ["g" * 256], ["g\x00"], ["g"] * 257],
    "exposed_ports": ["80", [], 80, {"x": {}}, {"80/icmp": {}}, {"0": {}}, {"65536/tcp": {}}, {"99999": {}}, {"-1": {}},
                      {"80": {"a": 1}}, {"80": None}, {"80 ": {}}, {"80/tcp/udp": {}}],
    "nets": [None, "n", {}, 1, [None], ["n"], [{}], [{"network": ""}], [{"network": "a", "port": "b"}],
             [{"network": 1}], [{"network": "a", "other": 1}], [{"network": "n" * 256}], [{"network": "a\x00"}],
             [{"network": "a", "v4-fixed-ip": "300.1.1.1"}], [{"network": "a", "v4-fixed-ip": "::1"}],
             [{"network": "a", "v6-fixed-ip": "10.0.0.1"}], [{"port": "p"}], [{"network": "a"}] * 65],
    "mounts": [None, "m", {}, 1, [None], ["m"], [{}], [{"source": "a"}], [{"destination": "/a"}],
               [{"source": "a", "destination": ""}], [{"size": 0, "destination": "/a"}],
               [{"size": "x", "destination": "/a"}], [{"size": 2**40, "destination": "/a"}],
               [{"size": 1.5, "destination": "/a"}], [{"source": "a", "size": 1, "destination": "/a"}],
               [{"type": "tmpfs", "source": "a", "destination": "/a"}],
               [{"type": None, "source": "a", "destination": "/a"}],
               [{"type": "bind", "source": "!!", "destination": "/a"}],
               [{"type": "bind", "size": 1, "destination": "/a"}],
               [{"type": "bind", "source": "aGk=", "destination": "relative"}],
               [{"type": "bind", "source": "aGk=", "destination": "/a/../../etc/passwd"}],
               [{"source": "vol", "destination": "/a"}], [{"source": "v", "destination": "/a", "mode": "ro"}],
               [{"source": "v", "destination": "/" + "d" * 255}]],
    "healthcheck": ["cmd", [], 1, {"cmd": 1}, {"cmd": ""}, {"cmd": ["a"]}, {"cmd": "a", "interval": -1},
                    {"cmd": "a", "interval": "10s"}, {"cmd": "a", "retries": 2**31}, {"cmd": "a", "timeout": None},
                    {"cmd": "a", "timeout": 1.5}, {"test": "a"}, {"cmd": "a\x00"}],
    "hints": ["h", [], 1, {"a": "x" * 17_000}, {str(n): 1 for n in range(65)}, {"a\x00": 1}],
    "availability_zone": [1, "", [], "z" * 256, "z\x00", None],
    "registry": [None, 1, "", "r", [], "r" * 256, "nosuch"],
    "host": [None, 1, "", [], "h" * 256, "a b", "h\x00"],
    "run": [None, 1, "maybe", [], {}],
}  # fmt: skip

CREATE = [
    pytest.param("POST", C, {"json": {**OK, field: value}}, {400, 404}, field,
                 id=f"{field}[{index}]={ascii(value)[:40]}".replace("\\x00", "NUL"))
    for field, values in WRONG.items()
    for index, value in enumerate(values)
]  # fmt: skip

OLD = [
    create("command", version="1.19", command=["ls"]),
    create("command", version="1.19", command="echo 'open"),
    create("command", version="1.1", command='a "b'),
    create("command", version="1.1", command="trailing \\"),
    create("command", version="1.19", command="a" * 20_000),
    create("command", version=None, command={"a": 1}),
    create("auto_remove", version="1.2", auto_remove=False),
    create("runtime", version="1.4", runtime="runc"),
    create("hostname", version="1.8", hostname="h"),
    create("mounts", version="1.10", mounts=[{"source": "a", "destination": "/a"}]),
    create("privileged", version="1.20", privileged=False),
    create("healthcheck", version="1.21", healthcheck={"cmd": "true"}),
    create("exposed_ports", version="1.23", exposed_ports={"80": {}}),
    create("registry", version="1.30", registry="reg1"),
    create("host", version="1.38", host="host1"),
    create("host", version="1.38", host=None),
    create("entrypoint", version="1.39", entrypoint=["sh"]),
    create("security_groups", security_groups=["a"], exposed_ports={"80": {}}),
]

UNKNOWN = [
    create("zzz", zzz=1),
    create("websocket_token", websocket_token="a"),
    create("uuid", uuid="8a3c1d0e-0000-4000-8000-000000000000"),
    ask("POST", C, "status", json={**OK, "status": "Running"}),
    create("project_id", project_id="p2"),
    create("__proto__", **{"__proto__": {}}),
    create("Image", **{"Image": "busybox"}),
    create("", **{"": 1}, name="empty-key"),
    create("k" * 100 + "...", **{"k" * 5000: 1}, name="long-key"),
    create("k\N{REPLACEMENT CHARACTER}", **{"k\x1b[31m": 1}, name="escape-key"),
    ask("POST", C, "nosuch", json=OK, query="nosuch=1"),
    ask("POST", C, "run", json=OK, query="run=maybe"),
    ask("POST", C, "run", json=OK, query="run=true&run=false"),
    ask("POST", C, "image", json={}),
]

NESTED_10K = b'{"image": "busybox", "hints": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
NESTED_LIST = b'{"image": "busybox", "command": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
NESTED_500 = b'{"image": "busybox", "labels": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}"
NESTED_20 = b'{"image": "busybox", "hints": ' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}"

BODIES = [
    raw("body", b"{", "open-brace"),
    raw("body", b"{'image': 'busybox'}", "single-quotes"),
    raw("body", b'{"image": "busybox",}', "trailing-comma"),
    raw("body", b'{"image": "busybox"} {}', "two-documents"),
    raw("body", b"image=busybox", "form"),
    raw("body", b"\xff\xfe\x00", "binary"),
    raw("body", b'{"image": "\xff\xfe"}', "not-utf8"),
    raw("body", b'{"image": "\xed\xa0\x80bb"}', "encoded-surrogate"),
    raw("body", rb'{"image": "busy\ud800box"}', "lone-high-surrogate"),
    raw("body", rb'{"image": "busy\udc00box"}', "lone-low-surrogate"),
    raw("body", b'\xef\xbb\xbf{"image": "busybox"}', "byte-order-mark"),
    raw("body", '{"image": "busybox"}'.encode("utf-16"), "utf-16"),
    raw("body", b'{"image": "busybox", "cpu": NaN}', "nan"),
    raw("body", b'{"image": "busybox", "cpu": Infinity}', "infinity"),
    raw("body", b'{"image": "busybox", "cpu": 1e999}', "float-overflow"),
    raw("body", b'{"image": "busybox", "memory": -1e999}', "negative-overflow"),
    raw("body", b'{"image": "busybox", "memory": ' + HUGE.encode() + b"}", "integer-of-5000-digits"),
    raw("body", b'{"image": "busybox", "memory": 0512}', "octal"),
    raw("body", b'{"image": "busybox", "memory": 0x200}', "hexadecimal"),
    raw("memory", b'{"image": "busybox", "memory": 18446744073709551616}', "beyond-64-bit"),
    raw("disk", b'{"image": "busybox", "disk": 9223372036854775808}', "beyond-63-bit"),
    raw("body", NESTED_10K, "objects-10k-deep"),
    raw("body", NESTED_LIST, "lists-10k-deep"),
    raw("labels", NESTED_500, "labels-500-deep"),
    raw("hints", NESTED_20, "hints-20-deep"),
    raw("body", b"[]", "list"),
    raw("body", b'"busybox"', "string"),
    raw("body", b"7", "number"),
    raw("body", b"true", "true"),
    raw("image", b"null", "null"),
    raw("image", b"", "empty"),
    raw("image", b"   ", "blank"),
    raw("memory", b'{"image": "busybox", "memory": 4, "memory": "x"}', "double-key"),
    raw("environment", rb'{"image": "busybox", "environment": {"A\u0000": "x"}}', "nul-in-key"),
    raw("Content-Type", b'{"image": "busybox"}', "no-type", status=415, headers={}),
    raw("Content-Type", b'{"image": "busybox"}', "text", status=415, headers={"Content-Type": "text/plain"}),
    raw("Content-Type", b"<image/>", "xml", status=415, headers={"Content-Type": "application/xml"}),
    raw("Content-Type", b"image=busybox", "form-type", status=415,
        headers={"Content-Type": "application/x-www-form-urlencoded"}),
    raw("Content-Type", b"--x--", "multipart", status=415, headers={"Content-Type": "multipart/form-data; boundary=x"}),
    raw("Content-Type", b"{}", "json-ish", status=415, headers={"Content-Type": "application/jsonx"}),
    raw("Content-Type", b"{}", "long-type", status=415, headers={"Content-Type": LONG}),
    raw("larger", b'{"image": "' + b"b" * 70_000 + b'"}', "oversize", status=413),
    raw("larger", b"x", "announced-oversize", status=413, headers={**JSON, "Content-Length": "99999999999"}),
    raw("Content-Length", b"{}", "length-text", headers={**JSON, "Content-Length": "two"}),
    raw("Content-Length", b"{}", "length-negative", headers={**JSON, "Content-Length": "-1"}),
    raw("Content-Length", b"{}", "length-of-30-digits", headers={**JSON, "Content-Length": "9" * 30}),
    raw("Content-Length", b"{}", "shorter-than-said", headers={**JSON, "Content-Length": "50"}),
    raw("body", b"{bad", "patch", method="PATCH", path=WEB),
    raw("body", b"[1]", "patch-list", method="PATCH", path=WEB),
    raw("body", b'{"signal": "TERM"', "kill-truncated", path=f"{WEB}/kill"),
    raw("body", b'"TERM"', "kill-string", path=f"{WEB}/kill"),
    raw("larger", b" " * 70_000, "start-oversize", status=413, path=f"{WEB}/start"),
]  # fmt: skip

#: Newer than we are.
NEXT = f"container 1.{MAX_VERSION[1] + 1}"

VERSIONS = [
    pytest.param("GET", C, {"version": None, "headers": {"OpenStack-API-Version": value}}, 406,
                 "OpenStack-API-Version", id=f"version-{ascii(value)[:40]}")
    for value in (
        "", "container", "1.5", "compute 1.5", "container 1", "container 1.latest", "container 1.5.1", "container x",
        "container -1.5", "container 1.-5", "container 1.5 extra", "container 0.1", "container 1.0", NEXT,
        "container 2.0", "container 99.99", "container 1.\u00b2", f"container 1.{HUGE}", f"container {HUGE}.1",
        "container 1.5, compute 2.1", "container +1.5", "container 0x1.5", "container 1,5", "container\x001.5",
    )
]  # fmt: skip

QUERIES = [
    ask("GET", C, "limit", query="limit=0"),
    ask("GET", C, "limit", query="limit=-1"),
    ask("GET", C, "limit", query="limit=ten"),
    ask("GET", C, "limit", query="limit="),
    ask("GET", C, "limit", query="limit=1.5"),
    ask("GET", C, "limit", query="limit=%D9%A1"),
    ask("GET", C, "limit", query=f"limit={HUGE}", label="limit-huge"),
    ask("GET", C, "limit", query="limit=1&limit=2"),
    ask("GET", C, "limit", query="limit=1%00"),
    ask("GET", C, "marker", query="marker=nope", status=404),
    ask("GET", C, "marker", query="marker=8a3c1d0e-0000-4000-8000-000000000000", status=404),
    ask("GET", C, "marker", query="marker="),
    ask("GET", C, "marker", query=f"marker={LONG}", label="marker-long"),
    ask("GET", C, "sort_key", query="sort_key=nope"),
    ask("GET", C, "sort_key", query="sort_key=websocket_token"),
    ask("GET", C, "sort_key", query="sort_key=environment"),
    ask("GET", C, "sort_key", query="sort_key=id%3Bdrop%20table%20containers"),
    ask("GET", C, "sort_key", query="sort_key="),
    ask("GET", C, "sort_dir", query="sort_dir=up"),
    ask("GET", C, "sort_dir", query="sort_dir=ASC"),
    ask("GET", C, "all_projects", query="all_projects=maybe"),
    ask("GET", C, "all_projects", query="all_projects="),
    ask("GET", C, "auto_remove", query="auto_remove=perhaps"),
    ask("GET", C, "memory", query="memory=lots"),
    ask("GET", C, "memory", query="memory=512m"),
    ask("GET", C, "memory", query=f"memory={2**70}"),
    ask("GET", C, "name", query=f"name={LONG}", label="filter-name-long"),
    ask("GET", C, "name", query="name=a%00b"),
    ask("GET", C, "image", query=f"image={'i' * 300}", label="filter-image-long"),
    ask("GET", C, "query", query="name=%FF%FE"),
    ask("GET", C, "query", query="name=%ED%A0%80"),
    ask("GET", C, "query", query="&".join(f"a{n}=1" for n in range(200)), label="200-parameters"),
    ask("GET", C, "resource_url", query="resource_url=http://evil.example"),
    ask("GET", C, "labels", query="labels=a"),
    ask("GET", C, "uuid", query="uuid=a"),
    ask("GET", C, "container:get_one:host", query="host=a", status=403),
    ask("GET", C, "container:get_all_all_projects", query="all_projects=true", status=403),
    ask("GET", WEB, "all_projects", query="all_projects=maybe"),
    ask("GET", WEB, "container:get_one_all_projects", query="all_projects=1", status=403),
    ask("GET", "/v1/hosts", "limit", query="limit=x", roles="admin"),
    ask("GET", "/v1/hosts", "sort_key", query="sort_key=epoch", roles="admin"),
    ask("GET", "/v1/hosts", "sort_dir", query="sort_dir=x", roles="admin"),
    ask("GET", "/v1/hosts", "marker", query="marker=x", roles="admin", status=404),
    ask("GET", "/v1/hosts", "1.4", version="1.3", roles="admin", status=406),
    ask("GET", "/v1/hosts/a%00b", "host", roles="admin", status=404),
    ask("GET", "/v1/hosts", "host:get_all", status=403),
    ask("GET", "/v1/services", "zun-service:get_all", status=403),
]

ACTIONS = [
    *(ask("POST", f"{WEB}/kill", "signal", query=f"signal={value}") for value in (
        "NOPE", "SIG", "0", "65", "99999999999999999999", "9.5", "-9", "SIGKILL%00", "KILL%20TERM", "%D9%A9",
        "SIG_DFL", "k" * 40, "__class__")),
    *(ask("POST", f"{WEB}/kill", "signal", json={"signal": value}) for value in ([], {}, True, 1.5, 10**12, "")),
    ask("POST", f"{WEB}/kill", "sig", json={"sig": 9}),
    ask("POST", f"{WEB}/kill", "signal", query="signal=9&signal=15"),
    *(ask("POST", f"{WEB}/{verb}", "timeout", query=f"timeout={value}") for verb in ("stop", "reboot") for value in (
        "-1", "soon", "1.5", "", "99999999999", "9" * 40, "%00", "1e3")),
    *(ask("POST", f"{WEB}/stop", "timeout", json={"timeout": value}) for value in (-1, 1.5, [], {}, True, "x", 2**40)),
    ask("POST", f"{WEB}/stop", "wait", query="wait=1"),
    ask("POST", f"{WEB}/rebuild", "image", query="image=x"),
    ask("POST", f"{WEB}/rebuild", "image", json={"image": 7}),
    ask("POST", f"{WEB}/rebuild", "image_driver", query="image_driver=nosuch"),
    ask("POST", f"{WEB}/rebuild", "image_driver", query="image_driver=glance"),
    ask("POST", f"{WEB}/rebuild", "run", query="run=true"),
    ask("POST", f"{WEB}/rename", "name", version="1.13"),
    ask("POST", f"{WEB}/rename", "name", version="1.13", query="name=None"),
    ask("POST", f"{WEB}/rename", "name", version="1.13", query="name=a%20b"),
    ask("POST", f"{WEB}/rename", "name", version="1.13", json={"name": None}),
    ask("POST", f"{WEB}/rename", "1.13", version="1.14", query="name=web2", status=406),
    ask("POST", f"{WEB}/execute", "command"),
    ask("POST", f"{WEB}/execute", "command", query="command="),
    ask("POST", f"{WEB}/execute", "command", query="command=None"),
    ask("POST", f"{WEB}/execute", "command", query="command=%20%20"),
    ask("POST", f"{WEB}/execute", "command", query="command=echo%20%27open"),
    ask("POST", f"{WEB}/execute", "command", query="command=a%00b"),
    ask("POST", f"{WEB}/execute", "command", json={"command": ["ls"]}),
    ask("POST", f"{WEB}/execute", "command", json={"command": "a" * 40_000}, label="execute-long"),
    ask("POST", f"{WEB}/execute", "run", query="command=ls&run=maybe"),
    ask("POST", f"{WEB}/execute", "run", query="command=ls&run=perhaps"),
    ask("POST", f"{WEB}/execute", "interactive", query="command=ls&interactive=2"),
    ask("POST", f"{WEB}/execute", "user", query="command=ls&user=root"),
    ask("GET", f"{WEB}/logs", "tail", query="tail=-1"),
    ask("GET", f"{WEB}/logs", "tail", query="tail=some"),
    ask("GET", f"{WEB}/logs", "tail", query="tail=99999999999"),
    ask("GET", f"{WEB}/logs", "tail", query="tail=1.5"),
    ask("GET", f"{WEB}/logs", "since", query="since=yesterday"),
    ask("GET", f"{WEB}/logs", "since", query="since=-5"),
    ask("GET", f"{WEB}/logs", "since", query="since=2024-13-01%2000:00:00,0"),
    ask("GET", f"{WEB}/logs", "since", query=f"since={'9' * 60}"),
    ask("GET", f"{WEB}/logs", "since", query="since=%00"),
    ask("GET", f"{WEB}/logs", "stdout", query="stdout=loud"),
    ask("GET", f"{WEB}/logs", "stdout", query="stdout=False&stderr=False"),
    ask("GET", f"{WEB}/logs", "timestamps", query="timestamps=2"),
    ask("GET", f"{WEB}/logs", "follow", query="follow=true"),
    ask("DELETE", WEB, "force", query="force=maybe"),
    ask("DELETE", WEB, "stop", query="stop=2"),
    ask("DELETE", WEB, "all_projects", query="all_projects=x"),
    ask("DELETE", WEB, "cascade", query="cascade=true"),
    ask("DELETE", WEB, "force", query="force=true", version="1.6"),
    ask("DELETE", WEB, "stop", query="stop=true", version="1.11"),
    ask("DELETE", WEB, "container:delete_force", query="force=true", status=403),
    ask("DELETE", WEB, "container:delete_force", query="force=true&stop=true", status=403),
    ask("DELETE", WEB, "container:delete_all_projects", query="all_projects=true", status=403),
    *(ask("PATCH", WEB, field, json={field: value}) for field, value in (
        ("name", None), ("name", ""), ("name", "a b"), ("name", 5), ("name", []), ("cpu", None), ("cpu", "x"),
        ("cpu", 0), ("cpu", 99), ("memory", None), ("memory", 1), ("memory", "512m"), ("memory", 2**64),
        ("auto_heal", None), ("auto_heal", "yes"), ("auto_heal", 1), ("image", "busybox"), ("status", "Running"),
        ("uuid", "x"), ("zzz", None))),
    ask("PATCH", WEB, "name", json={"name": "n" * 256}, label="patch-long-name"),
]  # fmt: skip

PATHS = [
    ask("GET", f"{C}/..", "..", status=404),
    ask("GET", f"{C}/../../etc/passwd", "etc/passwd", status=404),
    ask("GET", f"{C}/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "etc/passwd", status=404),
    ask("GET", f"{C}/a%00b", "a", status=404),
    ask("GET", f"{C}/%FF%FE", "UTF-8", status=404),
    ask("GET", "/%ED%A0%80", "UTF-8", status=404),
    ask("GET", f"{C}/{LONG}", "xxxx...", status=404, label="ident-long"),
    ask("GET", f"{C}/a%0d%0aX-Evil:%201", "container", status=404),
    ask("GET", f"{C}/%F0%9F%90%B3", "\N{SPOUTING WHALE}", status=404),
    ask("GET", f"{C}/web'%20or%20'1'='1", "or '1'='1", status=404),
    ask("GET", f"{C}/%25", "%", status=404),
    ask("GET", f"{C}/8a3c1d0e-0000-4000-8000-000000000000", "8a3c1d0e", status=404),
    ask("GET", f"{C}/None", "None", status=404),
    ask("POST", f"{C}/{LONG}/start", "xxxx...", status=404, label="start-ident-long"),
    ask("DELETE", f"{C}/a%00b", "a", status=404),
    ask("PATCH", f"{C}/nosuch", "nosuch", status=404, json={"name": "web2"}),
    ask("GET", f"{WEB}/container_actions/nosuch", "nosuch", status=404),
    ask("GET", f"{WEB}/container_actions/{LONG}", "xxxx...", status=404, label="request-id-long"),
    ask("GET", f"{WEB}/container_actions/a%00b", "a", status=404),
    ask("GET", "/v1/nosuch", "nosuch", status=404),
    ask("GET", "/v2/containers", "v2", status=404),
    ask("GET", f"{WEB}/nosuch", "nosuch", status=404),
    ask("GET", f"{WEB}/start", "GET", status=405),
    ask("PUT", C, "PUT", status=405),
    ask("DELETE", C, "DELETE", status=405),
    ask("OPTIONS", C, "OPTIONS", status=405),
    ask("FOO", C, "FOO", status=405, validate=False),
    ask("FOO", "/v1/nosuch", "nosuch", status=404, validate=False),
    ask("TRACE", WEB, "TRACE", status=405, validate=False),
    ask("GET", "/v1/networks", "GET", status=405),
    ask("POST", "/", "POST", status=405),
    ask("POST", "/healthcheck", "GET", status=405),
    ask("GET", C, "Accept", headers={"Accept": "text/html"}, status=406),
    ask("GET", C, "Accept", headers={"Accept": "application/xml;q=1"}, status=406),
    ask("GET", C, "Accept", headers={"Accept": "nonsense"}, status=406),
    ask("GET", C, "X-USER-ID", user="u" * 300),
    ask("GET", C, "X-PROJECT-ID", project="p\x00"),
]

ROWS = [*CREATE, *OLD, *UNKNOWN, *BODIES, *VERSIONS, *QUERIES, *ACTIONS, *PATHS]


def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 180


@pytest.fixture(scope="module")
def hostile_api(make_api: Any) -> Any:
    """One container of the caller and one of another project; policy opened so that the schema has to speak."""
    opened = "\n".join(
        f'"container:create:{rule}": "rule:admin_or_owner"'
        for rule in ("privileged", "runtime", "image_pull_policy", "requested_destination")
    )
    api = make_api(authenticate=NoAuth, policy=opened)
    api.seed_host()
    api.seed(name="web")
    api.seed(name="foreign", project_id="p2", user_id="bob")
    return api


@pytest.mark.parametrize(("method", "path", "kwargs", "status", "expected"), ROWS)
def test_hostile(
    hostile_api: Any, method: str, path: str, kwargs: dict[str, Any], status: Any, expected: str
) -> None:
    before = hostile_api.counts()
    # The validator itself stumbles over lengths that are none.
    plausible = "Content-Length" not in kwargs.get("headers", {})
    result = hostile_api.request(method, path, **{"validate": plausible, **kwargs})
    allowed = status if isinstance(status, set) else {status}
    assert result.status in allowed, result.body[:400]
    error = result.error
    assert expected in error["title"], error["title"]
    assert len(error["title"]) < 1500
    assert "\x00" not in error["title"]
    assert hostile_api.counts() == before


@pytest.mark.parametrize("terminated", [True, False])
def test_a_chunked_body_is_bounded_too(hostile_api: Any, terminated: bool) -> None:
    before = hostile_api.counts()
    result = hostile_api.request(
        "POST",
        C,
        headers={**JSON, "Transfer-Encoding": "chunked"},
        environ={"wsgi.input": io.BytesIO(b" " * 200_000), "wsgi.input_terminated": terminated},
    )
    assert result.status == (413 if terminated else 411)
    assert result.error["title"]
    assert hostile_api.counts() == before


def test_a_chunked_body_is_read(make_api: Any) -> None:
    result = make_api().request(
        "POST",
        C,
        headers={**JSON, "Transfer-Encoding": "chunked"},
        environ={"wsgi.input": io.BytesIO(orjson.dumps(OK)), "wsgi.input_terminated": True},
    )
    assert result.status == 202


def test_secrets_are_not_repeated(hostile_api: Any) -> None:
    secret = "hunter2-" * 3
    for body in (
        {**OK, "environment": {"TOKEN": [secret]}},
        {**OK, "environment": secret},
        {**OK, "command": secret},
        {**OK, "mounts": [{"type": "bind", "source": secret + "!", "destination": "/a"}]},
        {**OK, "mounts": [{"type": secret}]},
        {**OK, "healthcheck": {"cmd": secret, "retries": "x" + secret}},
    ):
        result = hostile_api.post(C, json=body)
        assert result.status == 400
        assert secret not in result.body.decode()


FIELDS = sorted(WRONG)
TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.dictionaries(st.sampled_from(FIELDS) | TEXT, VALUES, max_size=8),
    image=st.booleans(),
    version=st.sampled_from(["1.1", "1.19", "1.20", "1.36", "1.39", "1.40"]),
)
def test_random_bodies_never_break_anything(
    hostile_api: Any, body: dict[str, Any], image: bool, version: str
) -> None:
    if image:
        body = {**body, "image": "busybox"}
    sent = json.dumps(body).encode()
    before = hostile_api.counts()
    result = hostile_api.post(C, body=sent, headers=JSON, version=version)
    assert result.status < 500, result.body
    if result.status == 202:
        assert hostile_api.counts() != before
        assert result.json["uuid"]
    else:
        assert result.error["title"]
        assert hostile_api.counts() == before
