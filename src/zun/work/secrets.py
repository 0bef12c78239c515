"""Secrets in the database: sealed with keys that are not in it. Opened only where they are used, on a host."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

#: Bytes of a key.
KEY_BYTES = 32


class BadKey(ValueError):
    """A key that can't be one. Says what is wrong with it, never what it is."""


class Unreadable(Exception):
    """Sealed with a key that is not among ours."""


class Secrets:
    """Seals with the first key and opens with any. Has no repr that shows a key."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: the newest first. Raises BadKey."""
        if not keys:
            raise BadKey("there is no key")
        self._newest, *others = [_fernet(index, key) for index, key in enumerate(keys, 1)]
        self._all = MultiFernet([self._newest, *others])

    def seal(self, text: str) -> str:
        """The secret as it may be stored."""
        return self._newest.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """The secret itself. Raises Unreadable."""
        try:
            return self._all.decrypt(token.encode()).decode()
        except InvalidToken as exc:
            raise Unreadable from exc

    def renewed(self, token: str) -> str | None:
        """The same secret under the newest key; None if it is so already. Raises Unreadable."""
        try:
            self._newest.decrypt(token.encode())
        except InvalidToken:
            return self.seal(self.open(token))
        return None


def _fernet(number: int, key: str) -> Fernet:
    # As upstream makes its one key: so passwords it stored can be read with the same option.
    raw = key.encode()
    if len(raw) != KEY_BYTES:
        raise BadKey(f"key {number} has {len(raw)} characters; a key has {KEY_BYTES}")
    return Fernet(base64.urlsafe_b64encode(raw))
