"""Identity by Keystone's tokens: keystonemiddleware decides, and what it refuses with gets the contract's shapes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import orjson
from keystoneauth1.exceptions import ClientException

from zun.api.errors import status_line
from zun.service.errors import Unavailable

with warnings.catch_warnings():
    # WebOb, which it stands on, imports a module that Python is going to remove.
    warnings.simplefilter("ignore", DeprecationWarning)
    from keystonemiddleware.auth_token import AuthProtocol, list_opts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"
_PASSED = "zun.authenticated"

#: Where the operator sets nothing: nobody waits long for a Keystone that is down, access rules are those of our service
#: type, and a catalogue that nobody reads is not carried along.
_DEFAULTS = {
    "http_connect_timeout": 5,
    "http_request_max_retries": 1,
    "service_type": "container",
    "include_service_catalog": False,
}


class Keystone:
    """Lets requests with a valid token through, with their identity in the environment (see `zun.api.context`).

    Without one: 401 in Keystone's shape (contract 7). Where Keystone can't be asked about a token that is not
    remembered: Unavailable, a 503 in ours.
    """

    def __init__(self, app: WSGIApplication, conf: cfg.ConfigOpts) -> None:
        """`conf`: of nobody else; the library adds its options, [keystone_authtoken] above all."""
        self._check = _protocol(_marking(app), conf)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop(_PASSED, None)
        refused: list[tuple[str, list[tuple[str, str]]]] = []

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            if _PASSED in environ:
                return (
                    start_response(status, headers, exc_info)
                    if exc_info
                    else start_response(status, headers)
                )
            refused.append((status, headers))
            return lambda data: None

        try:
            body = self._check(environ, start)
        except ClientException as exc:
            LOG.error("tokens can't be checked: %s: %s", type(exc).__name__, exc)
            raise _unavailable() from exc
        if not refused:
            return body
        status, headers = refused[0]
        if status.startswith("401"):
            return _unauthorized(environ, headers, start_response)
        LOG.error("tokens can't be checked: keystonemiddleware answers %s", status)
        raise _unavailable()


def _marking(app: WSGIApplication) -> WSGIApplication:
    """`app`, leaving word that it was reached: whatever is answered then is its own."""

    def marked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[_PASSED] = True
        return app(environ, start_response)

    return marked


def _protocol(app: WSGIApplication, conf: cfg.ConfigOpts) -> WSGIApplication:
    for group, options in list_opts():
        conf.register_opts(options, group=group)
    for name, value in _DEFAULTS.items():
        if name in conf[GROUP]:
            conf.set_default(name, value, group=GROUP)
    made: WSGIApplication = AuthProtocol(app, {"oslo_config_config": conf})
    return made


def _unavailable() -> Unavailable:
    return Unavailable(
        "Keystone does not answer: your token can't be checked now. Ask again later."
    )


def _unauthorized(
    environ: WSGIEnvironment, headers: list[tuple[str, str]], start_response: StartResponse
) -> Iterable[bytes]:
    message = (
        "The token is not valid: it is unknown, expired or revoked."
        if environ.get("HTTP_X_AUTH_TOKEN")
        else "Authentication is needed: send a token of Keystone in X-Auth-Token."
    )
    body = orjson.dumps({"error": {"code": 401, "title": "Unauthorized", "message": message}})
    told = [(name, value) for name, value in headers if name.lower() == "www-authenticate"]
    length = ("Content-Length", str(len(body)))
    start_response(status_line(401), [("Content-Type", "application/json"), length, *told])
    return [body]
