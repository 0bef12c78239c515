"""Bodies of networks (contract 2.5)."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.types import closed, text

_CREATE = closed(
    {"name": text(1, 255), "neutron_net_id": text(0, 255, nullable=True)},
    required=("name",),
    why="the body must be a JSON object",
)

CREATE = VersionedSchema(lambda _settings, _version: _CREATE)
