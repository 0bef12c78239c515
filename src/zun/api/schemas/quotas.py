"""Parameters of quotas and quota classes (contract 2.5)."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.types import BOOL_EXTENDED, INT32, Schema, parameters
from zun.model.quota import RESOURCES, UNLIMITED

_LIMIT: Schema = {
    "type": ["integer", "string"],
    "pattern": "^(-1|[0-9]{1,18})$",
    "x-range": [UNLIMITED, INT32],
    "x-why": f"must be an integer from 0 to {INT32}, or -1 for no limit",
}

UPDATE = VersionedSchema(
    lambda _settings, _version: parameters({name: _LIMIT for name in RESOURCES})
)

#: A real boolean: upstream took any text for true, `False` too (defect 13.2-38).
SHOW = VersionedSchema(
    lambda _settings, _version: parameters({"usages": BOOL_EXTENDED}, strict=False)
)
