"""Interactive sessions as they are shown: URLs that are good once (contract 5.1, 5.2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from zun.api.settings import ApiSettings
from zun.api.versions import SESSIONS, Version
from zun.api.views.later import NO_OUTPUT
from zun.api.views.links import Urls
from zun.service.errors import Unavailable
from zun.service.sessions import Granted

_CONSOLE = "console/"


def attached(granted: Granted, settings: ApiSettings, urls: Urls, version: Version) -> Any:
    """What attach answers: the URL as a string or, from 1.47 on, an object."""
    found = _found(granted, settings, urls)
    if version < SESSIONS:
        return found["proxy_url"]
    return {
        "url": found["proxy_url"],
        "console_url": found["console_url"],
        "expires_at": found["expires_at"],
    }


def entered(
    granted: Granted, settings: ApiSettings, urls: Urls, version: Version
) -> dict[str, Any]:
    """What execute answers that does not wait: four keys or, from 1.47 on, eight."""
    shown = {**_found(granted, settings, urls), "output": None, "exit_code": None}
    if version < SESSIONS:
        return {key: shown[key] for key in ("output", "exit_code", "exec_id", "proxy_url")}
    return {**shown, **NO_OUTPUT}


def _found(granted: Granted, settings: ApiSettings, urls: Urls) -> dict[str, Any]:
    base = _base(settings, urls)
    query = {"token": granted.token, "uuid": granted.container_uuid}
    if granted.exec_id is not None:
        query["exec_id"] = granted.exec_id
    words = urlencode(query)
    return {
        "exec_id": granted.exec_id,
        "proxy_url": f"{base}?{words}",
        "console_url": f"{_console(settings, base)}?{words}",
        "expires_at": str(granted.expires_at),
    }


def _base(settings: ApiSettings, urls: Urls) -> str:
    """Where zun-wsproxy is; without [websocket_proxy] base_url on the host that the caller reached us by."""
    if settings.wsproxy_url:
        parts = urlsplit(settings.wsproxy_url)
        return settings.wsproxy_url if parts.path else settings.wsproxy_url + "/"
    if settings.wsproxy_port is None:
        raise Unavailable(
            "Interactive sessions are not served here: [websocket_proxy] base_url is not set."
        )
    parts = urlsplit(urls.host)
    host = parts.hostname or ""
    scheme = "wss" if settings.wsproxy_secure else "ws"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.wsproxy_port}/"


def _console(settings: ApiSettings, base: str) -> str:
    """The page that shows a session in a browser."""
    if settings.console_url:
        return f"{settings.console_url.rstrip('/')}/{_CONSOLE}"
    parts = urlsplit(base)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/{_CONSOLE}", "", ""))
