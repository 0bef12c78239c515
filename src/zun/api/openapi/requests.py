"""Parameters and bodies of an operation, from its route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zun.api.endpoint import Endpoint, Takes
from zun.api.openapi.wording import SINCE, Wording, without_unset
from zun.api.schemas.compiled import Schema, VersionedSchema
from zun.api.schemas.responses.base import Operation
from zun.api.settings import ApiSettings
from zun.api.versions import MIN_VERSION, Version

_VARIABLE = re.compile(r"\{(\w+)\}")
_BODY = frozenset({Takes.MERGED, Takes.CHANGES})


class Requests:
    """What may be sent to one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        operation: Operation,
        outer: str,
        wording: Wording,
        settings: ApiSettings,
    ) -> None:
        self._endpoint = endpoint
        self._operation = operation
        self._outer = outer
        self._wording = wording
        self._settings = settings

    def parameters(self, path: str) -> list[Schema]:
        """Those of the path, of the header and of the query."""
        found = path_parameters(path, self._wording)
        if self._endpoint.versioned:
            found.append({"$ref": "#/components/parameters/MicroVersion"})
        schema = self._newest(self._endpoint.params)
        since = self._since(self._endpoint.params)
        for name, wrapped in schema.get("properties", {}).items():
            inner = without_unset(wrapped)
            if inner.get("type") == "object":
                continue  # a query is text
            parameter: Schema = {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()) and not self._merges(),
                "description": self._wording.sentence(self._outer, name, inner),
                "schema": self._wording.schema(inner, name),
            }
            if name in since:
                parameter[SINCE] = str(since[name])
            found.append(parameter)
        return found

    def body(self) -> Schema | None:
        """The JSON body, if one is read."""
        takes, document = self._endpoint.takes, self._endpoint.document
        if takes is Takes.DOCUMENT and document is not None:
            schema = self._wording.schema(
                self._newest(document), self._outer, self._since(document)
            )
            return {"required": True, "content": {"application/json": {"schema": schema}}}
        newest = self._newest(self._endpoint.params)
        if takes not in _BODY or not newest.get("properties"):
            return None
        open_fields = {name: without_unset(value) for name, value in newest["properties"].items()}
        needed = list(newest.get("required", ()))
        # An object can't be in the query.
        here = [name for name in needed if open_fields[name].get("type") == "object"]
        either = [name for name in needed if name not in here]
        also = f" `{'`, `'.join(either)}` must be in either." if either else ""
        schema = self._wording.schema(
            {**newest, "properties": open_fields, "required": here},
            self._outer,
            self._since(self._endpoint.params),
        )
        body: Schema = {
            "required": bool(here),
            "content": {"application/json": {"schema": schema}},
        }
        if any(field.get("type") != "object" for field in open_fields.values()):
            body["description"] = f"What may be in the query may be here; the body wins.{also}"
        return body

    def _merges(self) -> bool:
        return self._endpoint.takes in _BODY

    def _newest(self, versioned: VersionedSchema | None) -> Schema:
        if versioned is None or self._endpoint.takes is Takes.NOTHING:
            return {}
        return versioned.build(self._settings, self._endpoint.until)

    def _since(self, versioned: VersionedSchema | None) -> dict[str, Version]:
        """When each field came: by the schema's own history, and by what the operation says."""
        if versioned is None:
            return {}
        first: dict[str, Version] = {}
        for start in (MIN_VERSION, *versioned.changes_at):
            properties: Mapping[str, Any] = versioned.build(self._settings, start).get(
                "properties", {}
            )
            for name in properties:
                first.setdefault(name, start)
        first.update(self._operation.since)
        return {name: version for name, version in first.items() if version > self._endpoint.since}


def path_parameters(path: str, wording: Wording) -> list[Schema]:
    """The variables of a path template."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": wording.sentence("path", name, {}),
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
        for name in _VARIABLE.findall(path)
    ]
