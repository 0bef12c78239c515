"""`/v1/openapi.json`: what can be called, for programs; public."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import orjson

from zun.api.endpoint import Answer, Call, Handler
from zun.api.openapi.document import Routes, build
from zun.api.settings import ApiSettings


def serving(routes: Callable[[], Routes]) -> Handler:
    """GET /v1/openapi.json of the application that has these routes; made once for its settings."""

    @lru_cache(maxsize=8)
    def document(settings: ApiSettings) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(build(routes(), settings)))

    def show(call: Call) -> Answer:
        return Answer(200, document(call.settings))

    return show
