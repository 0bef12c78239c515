"""The identity files of the standalone service, in its state directory.

    password             the generated password of `admin`, for its clouds.yaml
    htpasswd             user:bcrypt a line; `htpasswd -B` adds users
    identities.yaml      user -> ids, project and roles
    auth_encryption_key  keys of the secrets kept in the database, one a line, the newest first

Each is made once and kept: made again, nothing changes.
"""

from __future__ import annotations

import io
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bcrypt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from zun.cmd.files import PRIVATE, write_private

USER = "admin"
ROLES = ("admin", "member", "reader")

# 2^5 rounds: stretching protects passwords that can be guessed. A generated one has 192 random
# bits; more rounds would only cost every request its time.
_ROUNDS = 5
_PASSWORD_BYTES = 24
_KEY_CHARACTERS = 32

_IDENTITIES_HEAD = """\
# Who the users in htpasswd are. A user without an entry here is refused.
# roles: reader sees, member also changes, admin sees and changes every project's.
# The project id owns the containers: never change it.
"""


class CredentialsError(Exception):
    """An identity file can't be used as it is; the text names it and what to do."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs, and the files that were written to make it true."""

    username: str
    password: str
    written: tuple[Path, ...]


def ensure(state: Path) -> Credentials:
    """Make the state directory (0700) and its identity files (0600) where they are missing.

    Files that are there keep what they say; modes are corrected. A password changed in
    the file `password` is taken over into htpasswd. Raises CredentialsError, OSError.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.chmod(0o700)
    written = []
    if _ensure_file(state / "auth_encryption_key", lambda: secrets.token_hex(_KEY_CHARACTERS // 2)):
        written.append(state / "auth_encryption_key")
    if _ensure_file(state / "password", lambda: secrets.token_urlsafe(_PASSWORD_BYTES)):
        written.append(state / "password")
    password = _read(state / "password").strip()
    if not password:
        raise CredentialsError(
            f"{state / 'password'} is empty: remove it, a new password is made then"
        )
    if _ensure_htpasswd(state / "htpasswd", password):
        written.append(state / "htpasswd")
    if _ensure_identity(state / "identities.yaml"):
        written.append(state / "identities.yaml")
    return Credentials(USER, password, tuple(written))


def _ensure_file(path: Path, make: Callable[[], str]) -> bool:
    """Write what `make` gives into `path` where there is no such file; whether it was written."""
    if path.exists():
        path.chmod(PRIVATE)
        return False
    write_private(path, make() + "\n")
    return True


def _ensure_htpasswd(path: Path, password: str) -> bool:
    """Make the file accept USER with `password`; whether it was written. Other users' lines stay."""
    lines = _read(path).splitlines() if path.exists() else []
    for line in lines:
        name, _, digest = line.partition(":")
        if name == USER and _accepts(digest, password):
            path.chmod(PRIVATE)
            return False
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_ROUNDS)).decode()
    others = [line for line in lines if line.partition(":")[0] != USER]
    write_private(path, "".join(f"{line}\n" for line in [*others, f"{USER}:{digest}"]))
    return True


def _accepts(digest: str, password: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), digest.strip().encode())
    except ValueError:  # not a bcrypt digest
        return False


def _ensure_identity(path: Path) -> bool:
    """Give USER a project of its own where the file knows none; whether it was written."""
    yaml = YAML()
    try:
        known = yaml.load(_read(path)) if path.exists() else None
    except YAMLError as error:
        raise CredentialsError(f"{path} is not valid YAML, repair it: {error}") from error
    if known is not None and not isinstance(known, dict):
        raise CredentialsError(f"{path} is not a mapping of users, repair it")
    if known and USER in known:
        path.chmod(PRIVATE)
        return False
    entry = {
        "user_id": uuid.uuid4().hex,
        "project_id": uuid.uuid4().hex,
        "project_name": USER,
        "roles": list(ROLES),
    }
    text = _read(path) if known else _IDENTITIES_HEAD
    buffer = io.StringIO()
    yaml.dump({USER: entry}, buffer)
    write_private(path, f"{text.rstrip()}\n{buffer.getvalue()}")
    return True


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
