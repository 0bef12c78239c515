"""Queries of hosts; parameters they do not know are ignored (contract 2.0)."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.containers import PAGING
from zun.api.schemas.types import parameters

LIST = VersionedSchema(lambda _settings, _version: parameters(PAGING, strict=False))
