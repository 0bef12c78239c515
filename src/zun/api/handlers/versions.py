"""`/` and `/v1`: public."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.views import versions as views


def root(call: Call) -> Answer:
    """GET /."""
    return Answer(200, views.root(call.urls))


def v1(call: Call) -> Answer:
    """GET /v1."""
    return Answer(200, views.v1(call.urls))
