"""What a request asks for: its query, and whether the page it comes from may ask (contract 5.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from zun.wsproxy.refusal import Refusal

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXEC_ID = re.compile(r"[0-9a-f]{64}")
_FIELDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A session to open; `exec_id` is None where it is an attach."""

    token: str = field(repr=False)
    container_uuid: str
    exec_id: str | None


def wish_of(query: str) -> Wish:
    """Reads a query. Raises Refusal, which names the parameter."""
    try:
        given = parse_qs(query, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        raise Refusal(400, "malformed", "query: has too many parameters.") from None
    token = _one(given, "token", _TOKEN)
    uuid = _one(given, "uuid", _UUID)
    exec_id = _one(given, "exec_id", _EXEC_ID) if "exec_id" in given else None
    return Wish(token=token, container_uuid=uuid, exec_id=exec_id)


def _one(given: dict[str, list[str]], name: str, pattern: re.Pattern[str]) -> str:
    values = given.get(name, [])
    if len(values) != 1:
        raise Refusal(400, "malformed", f"{name}: is {'repeated' if values else 'missing'}.")
    if not pattern.fullmatch(values[0]):
        raise Refusal(400, "malformed", f"{name}: is not one that was given out.")
    return values[0]


def check_origin(
    origin: str | None,
    host: str | None,
    forwarded_proto: str | None,
    *,
    secure: bool,
    allowed: frozenset[str],
) -> None:
    """Whether a page of `origin` may open a session at `host`, both as the headers say; raises Refusal.

    Programs send none, and pass. The port is never compared: clients send `http://host:None`. `forwarded_proto` is what
    a proxy that ends TLS says the scheme was. `secure`: clients reach us by wss.
    """
    if origin is None:
        return
    name, scheme = _host_and_scheme(origin)
    if name is None or (name != _host_name(host) and name not in allowed):
        raise Refusal(
            403, "origin", "Origin: pages of this site may not open sessions here; the operator can "
            "name its host in [websocket_proxy] allowed_origins.",
        )  # fmt: skip
    if forwarded_proto is not None:
        scheme = forwarded_proto.split(",")[0].strip().lower()
    if scheme not in (("wss", "https") if secure else ("ws", "http")):
        raise Refusal(
            403, "scheme", f"Origin: sessions are opened by {'wss' if secure else 'ws'} here, from pages of "
            f"{'https' if secure else 'http'}; the operator decides by [websocket_proxy] base_url.",
        )  # fmt: skip


def _host_and_scheme(origin: str) -> tuple[str | None, str]:
    try:
        url = urlsplit(origin)
    except ValueError:
        return None, ""
    return url.hostname, url.scheme.lower()


def _host_name(host: str | None) -> str | None:
    """The name in a Host header: lower case, without port and brackets; None where there is none."""
    if not host:
        return None
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
