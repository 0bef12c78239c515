"""The body of POST /containers (contract 2.2), one line or fragment a field.

Fields newer than the request's version are refused in `lift.GATES`, with a sentence that names the version; only
those whose shape itself changes are versioned here.
"""

from __future__ import annotations

from zun.api.schemas.compiled import Schema, VersionedSchema
from zun.api.schemas.types import (
    BOOL,
    BOOL_EXTENDED,
    BOOL_JSON,
    INT32,
    NO_NUL,
    closed,
    integer,
    name,
    number,
    one_of,
    parameters,
    text,
)
from zun.api.settings import ApiSettings
from zun.api.versions import MAX_RUN_TIME, Version

#: Bytes of JSON of one stored collection: a TEXT column of MariaDB holds 65,535.
STORED = 60_000
_HOSTNAME = r"^[A-Za-z0-9._\-]*$"

IMAGE: Schema = {
    "type": "string",
    "minLength": 2,
    "maxLength": 255,
    "allOf": [{"pattern": r"[A-Za-z0-9][A-Za-z0-9_.\-]"}, {"pattern": r"^[^\s\x00-\x1f\x7f]*$"}],
    "x-why": "must be an image reference of 2 to 255 characters, without spaces",
}

_COMMAND_TEXT = text(0, 16_384, nullable=True) | {"x-bytes": STORED}

_COMMAND_LIST: Schema = {
    "type": ["array", "null"],
    "maxItems": 1024,
    "items": {
        "type": ["string", "number", "boolean"],
        "maxLength": 32_768,
        "pattern": NO_NUL,
        "x-why": "must be a string of at most 32768 characters, without NUL",
    },
    "x-bytes": STORED,
    "x-why": f"must be a list of at most 1024 strings, {STORED} bytes of JSON in all",
}

ENVIRONMENT: Schema = {
    "type": ["object", "null"],
    "maxProperties": 1024,
    "propertyNames": {
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^[^=\x00]+$",
        "x-why": "names must be 1 to 255 characters without `=` and NUL",
    },
    "additionalProperties": text(0, 32_768),
    "x-bytes": STORED,
    "x-why": f"must be an object of at most 1024 strings, {STORED} bytes of JSON in all",
}

LABELS: Schema = {
    "type": ["object", "null"],
    "maxProperties": 256,
    "propertyNames": {
        "minLength": 1,
        "maxLength": 255,
        "pattern": NO_NUL,
        "x-why": "names must be 1 to 255 characters without NUL",
    },
    "additionalProperties": {
        "type": ["string", "number", "boolean", "null"],
        "maxLength": 4096,
        "pattern": NO_NUL,
        "x-why": "must be a string of at most 4096 characters, not an object or a list",
    },
    "x-bytes": STORED,
    "x-why": f"must be an object of at most 256 strings, {STORED} bytes of JSON in all",
}

_RESTART_POLICY: Schema = closed(
    {
        "Name": one_of("no", "always", "on-failure", "unless-stopped"),
        "MaximumRetryCount": integer(0, INT32, nullable=True),
    },
    required=("Name",),
) | {
    "type": ["object", "null"],
    "x-why": "must be an object with Name and, if need be, MaximumRetryCount",
}

_NET: Schema = closed(
    {
        "network": text(0, 255),
        "port": text(0, 255),
        "v4-fixed-ip": text(0, 64),
        "v6-fixed-ip": text(0, 64),
    },
    why="must be an object with exactly one of network and port",
)

_MOUNT: Schema = closed(
    {
        "type": one_of("volume", "bind"),
        "source": text(0, 1_048_576),
        "destination": text(1, 255),
        "size": integer(1, INT32, "GiB"),
    },
    required=("destination",),
    why="must be an object with destination and one of source and size",
) | {"anyOf": [{"required": ["source"]}, {"required": ["size"]}]}

_HEALTHCHECK: Schema = closed(
    {
        "cmd": text(1, 4096),
        "interval": integer(0, INT32, "seconds"),
        "retries": integer(0, INT32),
        "timeout": integer(0, INT32, "seconds"),
    }
) | {"type": ["object", "null"], "x-why": "must be an object of cmd, interval, retries and timeout"}

_EXPOSED_PORTS: Schema = {
    "type": ["object", "null"],
    "maxProperties": 1024,
    "propertyNames": {
        "pattern": r"^[0-9]{1,5}(/(tcp|udp))?$",
        "x-why": "ports must be `<number>`, `<number>/tcp` or `<number>/udp`",
    },
    "additionalProperties": {
        "type": "object",
        "maxProperties": 0,
        "x-why": "must be an empty object",
    },
    "x-why": "must be an object whose keys are ports",
}

_SECURITY_GROUPS: Schema = {
    "type": ["array", "null"],
    "maxItems": 256,
    "items": text(1, 255),
    "x-why": "must be a list of at most 256 names or ids",
}

_HINTS: Schema = {
    "type": ["object", "null"],
    "maxProperties": 64,
    "x-bytes": 16_384,
    "x-why": "must be an object of at most 64 hints, 16384 bytes of JSON in all",
}


def hostname(limit: int) -> Schema:
    """A host's name; the container's own is bounded by what the kernel and our column take (defect 13.2-44)."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": limit,
        "pattern": _HOSTNAME,
        "x-why": f"must be 1 to {limit} characters: letters, digits, `-`, `.` and `_`",
    }


def image_driver(settings: ApiSettings) -> Schema:
    """A driver the operator allows; null and `None` mean the default."""
    shown = ", ".join(settings.image_drivers)
    return one_of(*settings.image_drivers, "None", None, what=f"must be one of {shown}")


def _list_of(item: Schema, limit: int, what: str) -> Schema:
    return {
        "type": "array",
        "maxItems": limit,
        "items": item,
        "x-why": f"must be a list of at most {limit} {what}",
    }


def _body(settings: ApiSettings, version: Version) -> Schema:
    fields: Schema = {
        "image": IMAGE,
        "name": name(nullable=True),
        "command": _COMMAND_TEXT if version < (1, 20) else _COMMAND_LIST,
        "cpu": number(settings.minimum_cpus, settings.maximum_cpus),
        "memory": integer(settings.minimum_memory, settings.maximum_memory, "MiB"),
        "disk": integer(settings.minimum_disk, settings.maximum_disk, "GiB"),
        "cpu_policy": one_of("shared", "dedicated"),
        "environment": ENVIRONMENT,
        "labels": LABELS,
        "workdir": text(0, 255, nullable=True),
        "hostname": hostname(63),
        "interactive": BOOL,
        "tty": BOOL,
        "image_driver": image_driver(settings),
        "image_pull_policy": one_of(
            "never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent", None,
            what="must be one of never, always, ifnotpresent",
        ),
        "restart_policy": _RESTART_POLICY,
        "auto_remove": BOOL_JSON,
        "auto_heal": BOOL,
        "runtime": text(1, 255, nullable=True),
        "privileged": BOOL,
        "security_groups": _SECURITY_GROUPS,
        "exposed_ports": _EXPOSED_PORTS,
        "nets": _list_of(_NET, 64, "networks"),
        "mounts": _list_of(_MOUNT, 64, "mounts"),
        "healthcheck": _HEALTHCHECK,
        "hints": _HINTS,
        "availability_zone": text(1, 255),
        "registry": text(2, 255),
        "run": BOOL_EXTENDED,
    }  # fmt: skip
    if version >= (1, 39):
        fields["host"] = hostname(255)
    if version >= (1, 40):
        fields["entrypoint"] = _COMMAND_LIST
    if version >= MAX_RUN_TIME:
        fields["max_run_time"] = integer(1, INT32, "seconds", nullable=True)
    return closed(fields, required=("image",), why="the body must be a JSON object")


CREATE = VersionedSchema(_body, (Version(1, 20), Version(1, 39), Version(1, 40), MAX_RUN_TIME))
CREATE_QUERY = VersionedSchema(lambda _settings, _version: parameters({"run": BOOL_EXTENDED}))
