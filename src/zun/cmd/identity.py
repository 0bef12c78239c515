"""How users prove who they are, and what stands before the API in a cloud: as configured."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from oslo_config import cfg

from zun import conf as options
from zun.api.middleware.http_basic import HttpBasic
from zun.api.middleware.noauth import NoAuth
from zun.cmd.arguments import CannotServe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Wrap = Callable[["WSGIApplication"], "WSGIApplication"]

_REQUEST_HEADERS = [
    "X-Auth-Token", "OpenStack-API-Version", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Accept",
]  # fmt: skip
_ANSWER_HEADERS = [
    "X-Openstack-Request-Id", "OpenStack-API-Version", "OpenStack-API-Minimum-Version",
    "OpenStack-API-Maximum-Version",
]  # fmt: skip
_METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH"]


def authentication(conf: cfg.ConfigOpts) -> Wrap:
    """What [api] auth_strategy says. Raises CannotServe: Keystone is not described well enough to begin."""
    if conf.api.auth_strategy == "noauth":
        return NoAuth
    if conf.api.auth_strategy == "keystone":
        return _keystone(conf)
    state = Path(conf.state_path)
    return lambda app: HttpBasic(
        app, htpasswd=state / "htpasswd", identities=state / "identities.yaml"
    )


def _keystone(conf: cfg.ConfigOpts) -> Wrap:
    # Loaded only where it is used: half a second and 20 MiB.
    from zun.api.middleware.keystone import GROUP, Keystone

    read = options.of_libraries(conf)
    read.register_opts(
        [cfg.StrOpt("auth_type"), cfg.StrOpt("auth_section"), cfg.StrOpt("auth_url")], group=GROUP
    )
    said = read[GROUP]
    if not said.auth_section and not (said.auth_type and said.auth_url):
        raise CannotServe(
            f"[api] auth_strategy = keystone needs [{GROUP}] auth_type, auth_url and the service user's credentials: "
            "see docs/how-to/deploy.md"
        )
    return lambda app: Keystone(app, options.of_libraries(conf))


def front(conf: cfg.ConfigOpts) -> Wrap | None:
    """What the operator put before the API: headers of proxies, browsers of other origins. None = nothing."""
    read = options.of_libraries(conf)
    read.register_opts(
        [cfg.BoolOpt("enable_proxy_headers_parsing", default=False)], group="oslo_middleware"
    )
    read.register_opts([cfg.ListOpt("allowed_origin")], group="cors")
    proxied = read.oslo_middleware.enable_proxy_headers_parsing
    crossed = bool(read.cors.allowed_origin)
    if not (proxied or crossed):
        return None

    with warnings.catch_warnings():
        # WebOb, which they stand on, imports a module that Python is going to remove.
        warnings.simplefilter("ignore", DeprecationWarning)
        from oslo_middleware import cors
        from oslo_middleware.http_proxy_to_wsgi import HTTPProxyToWSGI

    cors.set_defaults(
        allow_headers=_REQUEST_HEADERS, expose_headers=_ANSWER_HEADERS, allow_methods=_METHODS
    )

    def wrap(app: WSGIApplication) -> WSGIApplication:
        if crossed:
            app = cors.CORS(app, options.of_libraries(conf))
        # Outside of it: what is allowed depends on where the client believes to be.
        return HTTPProxyToWSGI(app, options.of_libraries(conf)) if proxied else app

    return wrap
