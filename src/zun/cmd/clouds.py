"""Our entry in clouds.yaml, the file by which OpenStack's clients know the clouds of a user.

The shape was found by asking the official client: keystoneauth's `http_basic` has no catalogue, so
the endpoint in the entry is used for every request, and zunclient takes `/v1` off its own paths, so
the endpoint has to end in it.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

from zun.cmd.files import write_private

#: Authentication types only a service without Keystone uses. An entry of another type is somebody's real cloud.
_STANDALONE_TYPES = ("http_basic", "none")


class CloudsError(Exception):
    """clouds.yaml can't be used as it is; the text says why and what to do. The file is untouched."""


def default_path() -> Path:
    """The file the clients of this user read: $OS_CLIENT_CONFIG_FILE, else the one in ~/.config."""
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "openstack" / "clouds.yaml"


def http_basic_entry(endpoint: str, username: str, password: str) -> dict[str, Any]:
    """The entry for a service at `endpoint` (scheme, host and port, nothing after it)."""
    return {
        "auth_type": "http_basic",
        "auth": {"username": username, "password": password, "endpoint": f"{endpoint}/v1"},
    }


def no_auth_entry(endpoint: str) -> dict[str, Any]:
    """The entry for a service at `endpoint` that lets everybody in."""
    return {"auth_type": "none", "auth": {"endpoint": f"{endpoint}/v1"}}


def merge(path: Path, name: str, entry: Mapping[str, Any]) -> bool:
    """Make the cloud `name` in the file at `path` what `entry` says; whether the file was written.

    An entry that is there is ours if it is of a service without Keystone, or of the Keystone that `entry` names.

    Other clouds, comments and what a user added to this entry stay. The file is made (0600, its
    directory 0700) where there is none, and not written where it says all this already.
    Raises CloudsError: not valid YAML, not a mapping of clouds, `name` is another kind of cloud.
    Raises OSError.
    """
    document = _Document(path)
    old = document.clouds.get(name)
    if old is not None and not _is_ours(old, entry):
        raise CloudsError(
            f"{path}: the cloud {name!r} in it is another one; choose another name with --cloud"
        )
    if old is not None and _contains(old, entry):
        return False
    if old is None:
        document.clouds[name] = _mapping(entry)
    else:
        old.update(_mapping(entry))
    document.write()
    return True


def remove(path: Path, name: str, entry: Mapping[str, Any] | None = None) -> bool:
    """Take the cloud `name` out of the file; whether it was there and ours, as `merge` says (`entry`: what was merged).

    A file with nothing else in it goes too. Raises CloudsError: not valid YAML, not a mapping of
    clouds. Raises OSError.
    """
    if not path.exists():
        return False
    document = _Document(path)
    old = document.clouds.get(name)
    if old is None or not _is_ours(old, entry or {}):
        return False
    del document.clouds[name]
    if not document.clouds and len(document.root) == 1:
        path.resolve().unlink()
    else:
        document.write()
    return True


class _Document:
    """A clouds.yaml in memory, with its comments and layout."""

    root: CommentedMap
    clouds: CommentedMap

    def __init__(self, path: Path) -> None:
        self._path = path
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 1 << 20  # never fold a line
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        root = self._parse(text)
        if root is None:
            root = CommentedMap()
        if not isinstance(root, CommentedMap):
            raise CloudsError(f"{path} is not a mapping; repair it, or name another: --clouds-yaml")
        clouds = root.get("clouds")
        if clouds is None:
            clouds = root["clouds"] = CommentedMap()
        if not isinstance(clouds, CommentedMap):
            raise CloudsError(f"{path}: `clouds` is not a mapping; repair it")
        self.root, self.clouds = root, clouds

    def _parse(self, text: str) -> Any:
        try:
            if text.strip():
                _, indent, offset = load_yaml_guess_indent(text)
                if indent is not None:
                    self._yaml.indent(sequence=indent, offset=offset or 0)
                self._yaml.map_indent = _map_indent(text)
                self._yaml.explicit_start = text.startswith("---")
            return self._yaml.load(text)
        except YAMLError as error:
            where = " ".join(str(error).split())
            raise CloudsError(f"{self._path} is not valid YAML, repair it: {where}") from error

    def write(self) -> None:
        """Replace the file by what is in memory."""
        buffer = io.StringIO()
        self._yaml.dump(self.root, buffer)
        if not self._path.parent.exists():
            self._path.parent.mkdir(parents=True, mode=0o700)
        write_private(self._path, buffer.getvalue())


def _map_indent(text: str) -> int:
    """By how many blanks the entries below `clouds:` are indented; 2 where it can't be seen."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("clouds:"):
            break
    for line in lines:
        stripped = line.lstrip(" ")
        if stripped and not stripped.startswith("#"):
            return len(line) - len(stripped) or 2
    return 2


def _is_ours(old: Any, new: Mapping[str, Any]) -> bool:
    if not isinstance(old, Mapping):
        return False
    wanted = new.get("auth", {}).get("auth_url")
    if wanted is None:
        return old.get("auth_type") in _STANDALONE_TYPES
    auth = old.get("auth")
    return isinstance(auth, Mapping) and auth.get("auth_url") == wanted


def _contains(have: Any, want: Any) -> bool:
    """Whether `have` says all that `want` says."""
    if isinstance(want, Mapping):
        return isinstance(have, Mapping) and all(
            key in have and _contains(have[key], value) for key, value in want.items()
        )
    return bool(have == want)


def _mapping(value: Mapping[str, Any]) -> CommentedMap:
    return CommentedMap(
        (key, _mapping(item) if isinstance(item, Mapping) else item) for key, item in value.items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Copies clouds from one file into the user's, for ./cluster; 0, or 1 with the cause on stderr."""
    parser = argparse.ArgumentParser(prog="zun.cmd.clouds", description=main.__doc__)
    parser.add_argument("source", type=Path, help="a clouds.yaml")
    parser.add_argument("names", nargs="+", help="of clouds in it")
    parser.add_argument("--clouds-yaml", type=Path, default=default_path(), metavar="PATH")
    parser.add_argument("--remove", action="store_true", help="take them out again")
    args = parser.parse_args(argv)
    try:
        clouds = YAML(typ="safe").load(args.source)[
            "clouds"
        ]  # as values: without the source's layout
        for name in args.names:
            if args.remove:
                done = "removed from" if remove(args.clouds_yaml, name, clouds[name]) else "not in"
            else:
                written = merge(args.clouds_yaml, name, clouds[name])
                done = "written to" if written else "already in"
            print(f"cloud {name!r} {done} {args.clouds_yaml}")
    except (CloudsError, OSError) as error:
        print(f"clouds.yaml: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
