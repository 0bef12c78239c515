"""Small files written whole or not at all, and never readable by others on the way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE = 0o600


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` with mode 0600, atomically; owner and group of an old file are kept.

    A symbolic link is followed: the file it names is replaced, the link stays. Raises OSError; the
    old file is then untouched.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(PRIVATE)
        if target.exists():
            old = target.stat()
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(temporary, old.st_uid, old.st_gid)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
