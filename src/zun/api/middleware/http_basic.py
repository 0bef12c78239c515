"""HTTP basic authentication from two files: htpasswd (bcrypt) and identities (YAML).

The identities file says who a user of the htpasswd file is:

    alice:
      user_id: 6c2f...
      project_id: 81aa...
      project_name: demo
      roles: [member]

bcrypt is slow on purpose, so a verified credential is remembered under a hash salted per process: it is paid
for once per process and credential, and forgotten when either file changes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from zun.api.context import strip_identity

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

_CACHED = 1024
_REALM = 'Basic realm="zun"'
#: bcrypt sees no more than this of a password, and the library refuses longer ones.
_PASSWORD_BYTES = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What one user is to the service."""

    user_name: str
    user_id: str
    project_id: str
    project_name: str
    roles: str


@dataclass(frozen=True, slots=True)
class _Table:
    """Both files as they were at `stamp`."""

    stamp: tuple[object, ...]
    hashes: Mapping[str, bytes]
    identities: Mapping[str, Identity]
    dummy: bytes  # an unknown user costs as much time as a known one


class HttpBasic:
    """Authenticates each request, or answers 401 in keystone's shape (contract 7)."""

    def __init__(self, app: WSGIApplication, *, htpasswd: Path, identities: Path) -> None:
        """Raises OSError or ValueError where a file can't be used: better at start than at a request."""
        self._app = app
        self._files = (Path(htpasswd), Path(identities))
        self._salt = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        self._table = self._load()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        strip_identity(environ)
        header = environ.pop("HTTP_AUTHORIZATION", "")
        identity = self._identify(header)
        if identity is None:
            return _refuse(start_response, missing=not header)
        environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
        environ["HTTP_X_USER_ID"] = identity.user_id
        environ["HTTP_X_USER_NAME"] = identity.user_name
        environ["HTTP_X_PROJECT_ID"] = identity.project_id
        environ["HTTP_X_PROJECT_NAME"] = identity.project_name
        environ["HTTP_X_ROLES"] = identity.roles
        return self._app(environ, start_response)

    def _identify(self, header: str) -> Identity | None:
        if not header:
            return None
        table = self._current()
        key = hmac.digest(self._salt, header.encode("utf-8", "surrogateescape"), "sha256")
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        identity = self._verify(table, header)
        if identity is not None:
            with self._lock:
                if table is self._table:  # not verified against files that have changed meanwhile
                    self._known[key] = identity
                    if len(self._known) > _CACHED:
                        self._known.popitem(last=False)
        return identity

    def _verify(self, table: _Table, header: str) -> Identity | None:
        user, password = _credentials(header)
        stored = table.hashes.get(user)
        candidate = password if len(password) <= _PASSWORD_BYTES else b""
        try:
            good = bcrypt.checkpw(candidate, stored or table.dummy)
        except ValueError:  # a NUL in the password, or a hash that bcrypt can't read
            LOG.warning("a basic credential could not be verified: malformed password or hash")
            return None
        if not good or stored is None or len(password) > _PASSWORD_BYTES:
            return None
        identity = table.identities.get(user)
        if identity is None:
            LOG.warning("user %r has a password but no identity in %s", user, self._files[1])
        return identity

    def _current(self) -> _Table:
        if self._table.stamp == self._stamp():
            return self._table
        with self._lock:
            if self._table.stamp != self._stamp():
                stamp = self._stamp()
                try:
                    self._table = self._load()
                except (OSError, ValueError) as error:
                    # Closed, not open: a user may just have been removed.
                    LOG.error(
                        "no user can log in until the identity files are readable again: %s", error
                    )
                    self._table = _Table(stamp, {}, {}, _dummy({}))
                self._known.clear()
            return self._table

    def _stamp(self) -> tuple[object, ...]:
        stamps: list[object] = []
        for path in self._files:
            try:
                stat = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(stamps)

    def _load(self) -> _Table:
        stamp = self._stamp()  # before reading: a change while we read shows as another stamp
        hashes = read_htpasswd(self._files[0])
        return _Table(stamp, hashes, read_identities(self._files[1]), _dummy(hashes))


def _dummy(hashes: Mapping[str, bytes]) -> bytes:
    """A hash that no password has, of the highest cost in the file."""
    cost = max((stored[4:6] for stored in hashes.values()), default=b"10")
    return b"$2b$" + cost + b"$" + b"." * 53


def read_htpasswd(path: Path) -> dict[str, bytes]:
    """User -> bcrypt hash. Other kinds of hash are refused: they are too quick to guess."""
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, stored = line.strip().partition(":")
        if not colon or not user or not stored.startswith(("$2a$", "$2b$", "$2y$")):
            raise ValueError(f"{path}, line {number}: must be `user:<bcrypt hash>` (htpasswd -B)")
        hashes[user] = stored.encode()
    return hashes


def read_identities(path: Path) -> dict[str, Identity]:
    """User -> identity; a mistake names the user and the key."""
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must map users to identities")
    return {str(user): _identity(path, str(user), entry) for user, entry in document.items()}


def _identity(path: Path, user: str, entry: Any) -> Identity:
    if not isinstance(entry, dict):
        raise ValueError(f"{path}: {user}: must be a mapping")
    roles = entry.get("roles", [])
    if not isinstance(roles, list) or not all(
        isinstance(role, str) and "," not in role for role in roles
    ):
        raise ValueError(f"{path}: {user}.roles: must be a list of names")
    for key in ("user_id", "project_id"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ValueError(f"{path}: {user}.{key}: must be a non-empty string")
    return Identity(
        user_name=user,
        user_id=entry["user_id"],
        project_id=entry["project_id"],
        project_name=str(entry.get("project_name") or entry["project_id"]),
        roles=",".join(roles),
    )


def _credentials(header: str) -> tuple[str, bytes]:
    """User and password of the header; a malformed one is a user that nobody is."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "", b""
    user, _, password = decoded.partition(b":")
    try:
        return user.decode("utf-8"), password
    except UnicodeDecodeError:
        return "", b""


def _refuse(start_response: StartResponse, *, missing: bool) -> list[bytes]:
    message = (
        "Authentication is needed: send user and password."
        if missing
        else "Wrong user name or password."
    )
    body = orjson.dumps({"error": {"code": 401, "title": "Unauthorized", "message": message}})
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("WWW-Authenticate", _REALM),
    ]
    start_response("401 Unauthorized", headers)
    return [body]
