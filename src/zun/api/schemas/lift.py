"""An old create body becomes one of the newest shape, once, and then a `Draft` (contract 2.2).

The schema has seen the body already: here is what a schema can't say - fields by version, what one field
means for another, texts with a grammar of their own.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from zun.api.errors import clip
from zun.api.schemas.types import as_bool
from zun.api.versions import MAX_RUN_TIME, Version
from zun.model.container import Draft, MountRequest, NetRequest
from zun.service.errors import Invalid

#: field -> (version it came with, whether an empty value may pass below it): contract 1.1.
GATES: Mapping[str, tuple[Version, bool]] = {
    "auto_remove": (Version(1, 3), False),
    "runtime": (Version(1, 5), False),
    "hostname": (Version(1, 9), False),
    "mounts": (Version(1, 11), True),
    "privileged": (Version(1, 21), False),
    "healthcheck": (Version(1, 22), True),
    "exposed_ports": (Version(1, 24), False),
    "registry": (Version(1, 31), False),
}
#: Fields that the schema itself does not know below their version.
SCHEMA_GATES: Mapping[str, Version] = {
    "host": Version(1, 39),
    "entrypoint": Version(1, 40),
    "max_run_time": MAX_RUN_TIME,
}

_LIST_COMMAND = Version(1, 20)
_TTY = Version(1, 36)


def check_versions(body: Mapping[str, Any], version: Version) -> None:
    """Refuse a field that is newer than the request's version, naming the version that has it."""
    for field, (since, empty_passes) in GATES.items():
        value = body.get(field)
        if version < since and value is not None and not (empty_passes and not value):
            raise _too_new(field, version, since)


def check_unknown(body: object, version: Version) -> None:
    """As `check_versions`, for fields the older schemas would only call unknown."""
    if isinstance(body, Mapping):
        for field, since in SCHEMA_GATES.items():
            if version < since and field in body:
                raise _too_new(field, version, since)


def _too_new(field: str, version: Version, since: Version) -> Invalid:
    return Invalid(
        f"{field}: needs microversion {since} or later, the request asks for {version}",
        slug="invalid-param-in-version",
    )


def split_command(field: str, text: str) -> list[str]:
    """The words of a command line by shell rules; an open quote is the caller's mistake (defect 13.2-21)."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Invalid(f"{field}: is not a command line: {str(error).lower()}") from None


def lift(body: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """`body`, valid at `version`, in the shape of the newest version."""
    check_versions(body, version)
    newest = dict(body)
    if version < _LIST_COMMAND:
        command = newest.get("command")
        newest["command"] = split_command("command", command) if command else None
    elif "security_groups" in newest and "exposed_ports" in newest:
        raise Invalid("security_groups: can't be given together with exposed_ports")
    if _LIST_COMMAND <= version < _TTY and "interactive" in newest:
        newest["tty"] = newest["interactive"]
    policy = newest.get("image_pull_policy")
    newest["image_pull_policy"] = policy.lower() if policy else None
    if newest.get("image_driver") == "None":
        newest["image_driver"] = None
    return newest


def to_draft(body: Mapping[str, Any], *, run: bool) -> Draft:
    """The draft of a body in its newest shape."""
    get = body.get
    return Draft(
        image=body["image"],
        name=get("name"),
        command=_words(get("command")),
        entrypoint=_words(get("entrypoint")),
        cpu=_given(get("cpu"), float),
        memory=_given(get("memory"), int),
        disk=_given(get("disk"), int),
        cpu_policy=get("cpu_policy"),
        environment=get("environment") or {},
        labels={key: _scalar(value) for key, value in (get("labels") or {}).items()},
        workdir=get("workdir") or None,
        hostname=get("hostname"),
        interactive=_flag(get("interactive")),
        tty=_flag(get("tty")),
        image_driver=get("image_driver"),
        image_pull_policy=get("image_pull_policy"),
        restart_policy=_restart_policy(get("restart_policy")),
        auto_remove=_flag(get("auto_remove")),
        auto_heal=_flag(get("auto_heal")),
        runtime=get("runtime"),
        privileged=_flag(get("privileged")),
        security_groups=list(dict.fromkeys(get("security_groups") or ())) or None,
        exposed_ports=_exposed_ports(get("exposed_ports")),
        nets=[_net(index, item) for index, item in enumerate(get("nets") or ())],
        mounts=[_mount(index, item) for index, item in enumerate(get("mounts") or ())],
        healthcheck=_healthcheck(get("healthcheck")),
        hints=get("hints") or {},
        availability_zone=get("availability_zone"),
        registry=get("registry"),
        host=get("host"),
        max_run_time=_given(get("max_run_time"), int),
        run=run or _flag(get("run")),
    )


def _given(value: Any, kind: type[int] | type[float]) -> Any:
    return None if value is None else kind(value)


def _flag(value: bool | str | None) -> bool:
    return False if value is None else as_bool(value)


def _scalar(value: Any) -> str:
    return "" if value is None else str(value)


def _words(items: Sequence[Any] | None) -> list[str] | None:
    """Items as strings; an empty list means the image's own (contract 13.1-13)."""
    return [str(item) for item in items] if items else None


def _restart_policy(policy: Mapping[str, Any] | None) -> dict[str, str] | None:
    if not policy:
        return None
    name, count = policy["Name"], int(policy.get("MaximumRetryCount") or 0)
    if name == "no":
        count = 0
    elif count and name != "on-failure":
        raise Invalid(f"restart_policy.MaximumRetryCount: must be 0 with {name}")
    return {"Name": name, "MaximumRetryCount": str(count)}


def _exposed_ports(ports: Mapping[str, Any] | None) -> list[str] | None:
    if not ports:
        return None
    exposed: list[str] = []
    for key in ports:
        number, _, protocol = key.partition("/")
        if not 1 <= int(number) <= 65535:
            raise Invalid(f"exposed_ports: {number} is not a port, which is from 1 to 65535")
        exposed.append(f"{int(number)}/{protocol or 'tcp'}")
    return list(dict.fromkeys(exposed))


def _net(index: int, item: Mapping[str, Any]) -> NetRequest:
    network, port = item.get("network") or None, item.get("port") or None
    if (network is None) == (port is None):
        raise Invalid(f"nets[{index}]: must have exactly one of network and port")
    return NetRequest(
        network=network,
        port=port,
        v4_fixed_ip=_address(f"nets[{index}].v4-fixed-ip", item.get("v4-fixed-ip"), 4),
        v6_fixed_ip=_address(f"nets[{index}].v6-fixed-ip", item.get("v6-fixed-ip"), 6),
    )


def _address(field: str, text: str | None, version: int) -> str | None:
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise Invalid(f"{field}: `{clip(text)}` is not an address of IPv{version}")
    return str(address)


def _mount(index: int, item: Mapping[str, Any]) -> MountRequest:
    kind = item.get("type", "volume")
    source, size = item.get("source"), item.get("size")
    where = f"mounts[{index}]"
    if kind == "bind":
        if source is None or size is not None:
            raise Invalid(
                f"{where}: a mount of type bind needs source, the file's content, and takes no size"
            )
    else:
        source = source or None  # the dashboard sends an empty source next to a size
        if (source is None) == (size is None):
            raise Invalid(f"{where}: must have exactly one of source and size")
    return MountRequest(
        type=kind,
        destination=item["destination"],
        source=source,
        size=None if size is None else int(size),
    )


def _healthcheck(check: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`cmd` is stored and shown as `test` (contract 13.1-17)."""
    if not check:
        return None
    stored: dict[str, Any] = {"test": check["cmd"]} if "cmd" in check else {}
    for key in ("interval", "retries", "timeout"):
        if key in check:
            stored[key] = int(check[key])
    return stored
