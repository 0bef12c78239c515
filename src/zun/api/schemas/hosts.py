"""Queries of hosts; parameters they do not know are ignored (contract 2.0)."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.containers import PAGING
from zun.api.schemas.types import BOOL_EXTENDED, parameters, text

REASON = VersionedSchema(lambda _settings, _version: parameters({"reason": text(1, 255)}))
DELETE = VersionedSchema(lambda _settings, _version: parameters({"force": BOOL_EXTENDED}))
LIST = VersionedSchema(lambda _settings, _version: parameters(PAGING, strict=False))
