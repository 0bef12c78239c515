"""Queries and parameters of everything else under /containers (contract 2.1).

Query and body of an action are one set of parameters (contract 2.0), and all of it is validated.
"""

from __future__ import annotations

from zun.api.schemas.compiled import Schema, VersionedSchema
from zun.api.schemas.create import IMAGE, image_driver
from zun.api.schemas.types import (
    BOOL,
    BOOL_EXTENDED,
    BOOL_LIST,
    INT32,
    closed,
    integer,
    name,
    number,
    parameters,
    text,
)
from zun.api.settings import ApiSettings
from zun.api.versions import EXEC_TIMEOUT, LATER, LIST_FILTERS, SESSIONS, Version

#: Paging, the same in all collections. `limit` above the cap is lowered, not refused.
PAGING: Schema = {
    "limit": {
        "type": "string",
        "pattern": "^0*[1-9][0-9]{0,17}$",
        "x-why": "must be an integer above 0",
    },
    "marker": text(1, 255),
    "sort_key": text(1, 64),
    "sort_dir": {"enum": ["asc", "desc"], "x-why": "must be asc or desc"},
}

_FILTERS: Schema = {
    "name": text(0, 255),
    "image": text(0, 255),
    "project_id": text(0, 255),
    "user_id": text(0, 255),
    "memory": integer(0, INT32, "MiB"),
    "host": text(0, 255),
    "task_state": text(0, 255),
    "status": text(0, 255),
    "auto_remove": BOOL_LIST,
}


def _fixed(schema: Schema) -> VersionedSchema:
    return VersionedSchema(lambda _settings, _version: schema)


def _update(settings: ApiSettings, _version: Version) -> Schema:
    return closed(
        {
            "cpu": number(settings.minimum_cpus, settings.maximum_cpus),
            "memory": integer(settings.minimum_memory, settings.maximum_memory, "MiB"),
            "name": name(nullable=False),  # null was the name `None` (defect 13.2-27)
            "auto_heal": BOOL,
        },
        why="must be a JSON object",
    )


def _rebuild(settings: ApiSettings, _version: Version) -> Schema:
    return parameters({"image": IMAGE, "image_driver": image_driver(settings)})


def _list(_settings: ApiSettings, version: Version) -> Schema:
    own: Schema = {}
    if version >= LIST_FILTERS:
        own = {"name_prefix": text(1, 255), "labels": text(1, 16_384)}
    return parameters({**PAGING, **_FILTERS, **own, "all_projects": BOOL_LIST})


LIST = VersionedSchema(_list, (LIST_FILTERS,))


def _show(settings: ApiSettings, version: Version) -> Schema:
    """GET of one ignores what it does not know."""
    fields: Schema = {"all_projects": BOOL_EXTENDED}
    if version >= LATER:
        fields |= {"wait": text(1, 255), "timeout": integer(0, settings.max_wait, "seconds")}
    return parameters(fields, strict=False)


SHOW = VersionedSchema(_show, (LATER,))
UPDATE = VersionedSchema(_update)
DELETE = _fixed(
    parameters({"force": BOOL_EXTENDED, "stop": BOOL_EXTENDED, "all_projects": BOOL_EXTENDED})
)
TIMEOUT = _fixed(parameters({"timeout": integer(0, INT32, "seconds")}))
KILL = _fixed(
    parameters(
        {
            "signal": {
                "type": ["string", "integer"],
                "maxLength": 32,
                "x-why": "must be the name of a signal",
            }
        }
    )
)
REBUILD = VersionedSchema(_rebuild)
RENAME = _fixed(parameters({"name": name(nullable=False)}, required=("name",)))


def _logs(_settings: ApiSettings, version: Version) -> Schema:
    fields: Schema = {
        "stdout": BOOL_EXTENDED,
        "stderr": BOOL_EXTENDED,
        "timestamps": BOOL_EXTENDED,
        "tail": {
            "type": "string",
            "pattern": "^(all|[0-9]{1,18})$",
            "x-range": [0, INT32],
            "x-why": f"must be `all` or an integer from 0 to {INT32}",
        },
        "since": text(1, 64),
    }
    return parameters(fields | ({"follow": BOOL_EXTENDED} if version >= LATER else {}))


LOGS = VersionedSchema(_logs, (LATER,))


def _execute(settings: ApiSettings, version: Version) -> Schema:
    fields: Schema = {"command": text(1, 32_768), "run": BOOL, "interactive": BOOL}
    if version >= EXEC_TIMEOUT:
        fields["timeout"] = integer(1, settings.max_execute, "seconds")
    if version >= SESSIONS:
        fields |= {"stdin": text(0, 1_048_576), "kill_on_close": BOOL}
    return parameters(fields, required=("command",))


EXECUTE = VersionedSchema(_execute, (EXEC_TIMEOUT, SESSIONS))
_CELLS = integer(1, 65_535)
RESIZE = _fixed(parameters({"h": _CELLS, "w": _CELLS}, required=("h", "w")))
EXECUTE_RESIZE = _fixed(
    parameters(
        {
            "exec_id": {
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
                "x-why": "must be 64 hexadecimal digits in lower case",
            },
            "h": _CELLS,
            "w": _CELLS,
        },
        required=("exec_id", "h", "w"),
    )
)
#: GET /events.
EVENTS = _fixed(
    parameters({"container": text(1, 255), "kind": text(1, 255), "all_projects": BOOL_LIST})
)
TOP = _fixed(parameters({"ps_args": text(0, 255)}))
PATH = _fixed(parameters({"path": text(1, 4096)}, required=("path",)))
PUT_ARCHIVE = _fixed(
    parameters(
        {
            "path": text(1, 4096),
            "data": {"type": "string", "x-why": "must be a string that holds a tar archive"},
        },
        required=("path", "data"),
    )
)
RESIZE_CONTAINER = VersionedSchema(_update)
COMMIT = _fixed(
    parameters({"repository": text(1, 255), "tag": text(1, 128)}, required=("repository",))
)
NETWORK_ATTACH = _fixed(
    parameters({"network": text(1, 255), "port": text(1, 255), "fixed_ip": text(1, 64)})
)
NETWORK_DETACH = _fixed(parameters({"network": text(1, 255), "port": text(1, 255)}))
SECURITY_GROUP = _fixed(parameters({"name": text(1, 255)}, required=("name",)))
