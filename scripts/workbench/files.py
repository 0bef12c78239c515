"""Files that only their owner may read, and configuration in oslo.config's spelling."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, as a whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def ini(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of options in the spelling of oslo.config, which knows of no escapes but `$$`."""
    parts = []
    for name, values in sections.items():
        lines = [f"{key} = {str(value).replace('$', '$$')}" for key, value in values.items()]
        parts.append("\n".join([f"[{name}]", *lines]) + "\n")
    return "\n".join(parts)
