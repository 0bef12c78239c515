"""The keys of the secrets in the database: found, checked against what they must open, renewed."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from zun.cmd.credentials import CredentialsError
from zun.store import registries
from zun.store.database import Database
from zun.work.secrets import BadKey, Secrets, Unreadable

FILE = "auth_encryption_key"


def load(conf: cfg.ConfigOpts) -> Secrets:
    """The keys of the option if it is set, else of the state directory's file, one a line, the newest first.

    Raises CredentialsError: there is none, or one of them can't be a key.
    """
    configured = list(conf.auth_encryption_key or ())
    path = Path(conf.state_path) / FILE
    where = "[DEFAULT] auth_encryption_key" if configured else str(path)
    try:
        return Secrets(configured or path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        raise CredentialsError(
            f"{where} is missing: the passwords of registries can't be read without the key in it; "
            "put the file back (`zun-standalone init` makes one on a new installation)"
        ) from None
    except (BadKey, UnicodeDecodeError) as error:
        raise CredentialsError(f"{where}: {error}; put the right key back") from None


def check(database: Database, secrets: Secrets) -> None:
    """Raises CredentialsError where a stored secret opens with none of the keys: better now than at a pull."""
    with database.read() as conn:
        stored = registries.sealed(conn)
    locked = [uuid for uuid, token in stored if not _opens(secrets, token)]
    if locked:
        raise CredentialsError(
            f"the passwords of {len(locked)} registries (the first: {locked[0]}) open with none of the "
            "encryption keys: add the key they were stored with as a further line of "
            f"{FILE} in the state directory, or as a further [DEFAULT] auth_encryption_key"
        )


def _opens(secrets: Secrets, token: str) -> bool:
    try:
        secrets.open(token)
    except Unreadable:
        return False
    return True


def rotate(database: Database, secrets: Secrets) -> tuple[int, int]:
    """Seals every stored secret with the newest key: (how many were sealed anew, how many there are).

    Safe beside a running service that has the newest key: a password set meanwhile is left alone. Interrupted, it
    may be run again. Raises CredentialsError, before anything is changed, where one can't be opened.
    """
    check(database, secrets)
    with database.write() as conn:
        stored = registries.sealed(conn)
        renewed = [(uuid, old, secrets.renewed(old)) for uuid, old in stored]
        done = sum(registries.reseal(conn, uuid, old, new) for uuid, old, new in renewed if new)
    return done, len(stored)
