"""Parameters of services, in query or body (contract 2.5). A service has no id: host and binary name it."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.types import BOOL, Schema, parameters, text

_NAMED: Schema = {"host": text(1, 255), "binary": text(1, 255)}
_REQUIRED = ("host", "binary")

SERVICE = VersionedSchema(lambda _settings, _version: parameters(_NAMED, required=_REQUIRED))
DISABLE = VersionedSchema(
    lambda _settings, _version: parameters(
        {**_NAMED, "disabled_reason": text(1, 255)}, required=_REQUIRED
    )
)
FORCE_DOWN = VersionedSchema(
    lambda _settings, _version: parameters(
        {**_NAMED, "forced_down": BOOL}, required=(*_REQUIRED, "forced_down")
    )
)
