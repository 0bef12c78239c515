"""The volume driver that puts files before a container: their content lies in our state directory, bind-mounted."""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.runtime import FileMount
from zun.drivers.volume import VolumeRequest
from zun.model.names import uuid_or_none

FOLDER_MODE = 0o700
FILE_MODE = 0o644  # read by whatever user the container's process is; the folders above keep the host's users out
INDEX_LIMIT = 1000


class FileVolumes:
    """VolumeDriver for files to inject. See the contract in `zun.drivers.volume`.

    state_dir: a directory of ours on this host; content goes to `<state_dir>/files/<container uuid>/<index>`.
    """

    def __init__(self, state_dir: str | Path) -> None:
        self._root = Path(state_dir).absolute() / "files"

    def ensure(self, request: VolumeRequest, deadline: Deadline) -> Mapping[str, Any]:
        deadline.left()
        content, destination = checked(request)
        path = self._folder(request.container_uuid) / str(request.index)
        with _sorted("write the file"):
            _write(path, content)
        return {"type": "file", "source": str(path), "destination": destination}

    def mount_spec(self, facts: Mapping[str, Any]) -> FileMount:
        return FileMount(source=str(facts["source"]), destination=str(facts["destination"]))

    def release(self, container_uuid: str, deadline: Deadline) -> None:
        with _sorted("remove the container's files"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder(container_uuid))

    def list(self) -> Sequence[str]:
        with _sorted("list the containers' files"), contextlib.suppress(FileNotFoundError):
            return tuple(
                sorted(p.name for p in self._root.iterdir() if uuid_or_none(p.name) == p.name)
            )
        return ()

    def _folder(self, container_uuid: str) -> Path:
        return self._root / checked_uuid(container_uuid)


def checked(request: VolumeRequest) -> tuple[bytes, str]:
    """The content and the path in the container, as they are given. Rejected if the path could mean another one."""
    path = request.destination
    plain = path.startswith("/") and not path.startswith("//") and posixpath.normpath(path) == path
    if not plain or path == "/" or "\0" in path:
        raise errors.Rejected("the place of a file in the container must be a plain absolute path")
    if not 0 <= request.index < INDEX_LIMIT:
        raise errors.Rejected("a container cannot have that many files")
    if request.content is None:
        raise errors.Rejected("a file to inject must have content")
    return request.content, path


def checked_uuid(text: str) -> str:
    """The uuid, if it is one in its usual spelling; else Rejected, so that no other path can be meant."""
    if uuid_or_none(text) != text:
        raise errors.Rejected("this is not a container's uuid")
    return text


@contextlib.contextmanager
def _sorted(what: str) -> Iterator[None]:
    """Sorts what the file system says; a full or broken disk may be mended, so asking again makes sense."""
    try:
        yield
    except OSError as e:
        raise errors.Unavailable(
            f"cannot {what}: {os.strerror(e.errno) if e.errno else 'trouble'}"
        ) from e


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also over a crash. The same path again: the new content, as a new file."""
    path.parent.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if path.is_file() and path.read_bytes() == content:
        return  # a container that runs has this very file mounted
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), FILE_MODE)
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
