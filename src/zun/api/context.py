"""From what authentication left in the WSGI environment to a `Caller`.

The seam to any authentication is that of keystonemiddleware: it sets HTTP_X_USER_ID, HTTP_X_PROJECT_ID and
HTTP_X_ROLES, and strips what a client sent under these names.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from zun.api.policies.enforcer import Enforcer
from zun.service.caller import Caller
from zun.service.errors import Forbidden, Invalid

#: Where the request id travels inside the process.
REQUEST_ID = "zun.request_id"

#: Every header that says who somebody is; a client's own are removed before authentication sets its verdict.
IDENTITY_HEADERS: tuple[str, ...] = tuple(
    f"HTTP_X_{name}"
    for name in (
        "IDENTITY_STATUS", "SERVICE_IDENTITY_STATUS", "USER", "USER_ID", "USER_NAME", "USER_DOMAIN_ID",
        "USER_DOMAIN_NAME", "PROJECT_ID", "PROJECT_NAME", "PROJECT_DOMAIN_ID", "PROJECT_DOMAIN_NAME", "TENANT",
        "TENANT_ID", "TENANT_NAME", "DOMAIN_ID", "DOMAIN_NAME", "ROLE", "ROLES", "SERVICE_ROLES",
        "IS_ADMIN_PROJECT", "SERVICE_CATALOG",
    )
)  # fmt: skip

#: Ids end in columns of this width.
_ID_LIMIT = 255


def strip_identity(environ: MutableMapping[str, Any]) -> None:
    """Forget who the client says it is."""
    for name in IDENTITY_HEADERS:
        environ.pop(name, None)


def _identity(environ: Mapping[str, Any], key: str) -> str:
    value = str(environ.get(key) or "")
    if len(value) > _ID_LIMIT or not value.isprintable():
        header = key.removeprefix("HTTP_").replace("_", "-")
        raise Invalid(f"{header}: must be at most {_ID_LIMIT} printable characters")
    return value


def caller_of(environ: Mapping[str, Any], enforcer: Enforcer) -> Caller:
    """Who asks. An identity without a project owns nothing here, so it is refused at once."""
    user_id = _identity(environ, "HTTP_X_USER_ID")
    project_id = _identity(environ, "HTTP_X_PROJECT_ID")
    if not user_id or not project_id:
        raise Forbidden("A token of a project is needed: this one has no user or no project.")
    roles = _names(environ, "HTTP_X_ROLES")
    return Caller(
        user_id=user_id,
        project_id=project_id,
        roles=roles,
        request_id=environ[REQUEST_ID],
        is_admin=enforcer.is_admin(user_id, project_id, roles),
        service_roles=_names(environ, "HTTP_X_SERVICE_ROLES"),
    )


def _names(environ: Mapping[str, Any], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in environ.get(key, "").split(",") if name.strip())
