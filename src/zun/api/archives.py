"""Archives in JSON: base64 from microversion 1.25 on, text below."""

from __future__ import annotations

import base64
import codecs
import io
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

import orjson

from zun.api.endpoint import Answer
from zun.api.versions import Version
from zun.service.errors import Invalid, Unavailable

_BASE64 = Version(1, 25)

#: Bytes of an answer in memory; beyond it the answer is in a file.
_IN_MEMORY = 1024 * 1024

_TEXT = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class ArchiveAnswer:
    """The JSON of get_archive, written piece by piece as the archive comes, and sent once it is whole.

    Until then nothing has been answered: what goes wrong on the way is an error like any other.
    """

    def __init__(self, version: Version) -> None:
        self._encode = _base64() if version >= _BASE64 else _text()
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._write(b'{"data":"')

    def add(self, piece: bytes) -> None:
        """The next piece of the archive. Raises Invalid: it is no text; Unavailable: there is no room for it."""
        self._write(self._encode(piece, False))

    def finish(self, stat: Mapping[str, Any]) -> Answer:
        """The whole answer. One of some size is in a file, which whoever sends it closes."""
        self._write(self._encode(b"", True) + b'","stat":' + orjson.dumps(stat) + b"}")
        length = self._file.tell()
        self._file.seek(0)
        if length <= _IN_MEMORY:
            with self._file:
                return Answer(200, text=self._file.read())
        return Answer(200, file=cast(BinaryIO, self._file), length=length)

    def close(self) -> None:
        """Forgets it."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as exc:
            raise Unavailable(
                f"The service has no room for the answer at the moment: {exc.strerror}."
            ) from exc


def _base64() -> Callable[[bytes, bool], bytes]:
    rest = b""

    def encode(piece: bytes, last: bool) -> bytes:
        nonlocal rest
        whole = rest + piece
        kept = 0 if last else len(whole) % 3
        rest = whole[len(whole) - kept :]
        return base64.b64encode(whole[: len(whole) - kept])

    return encode


def _text() -> Callable[[bytes, bool], bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def encode(piece: bytes, last: bool) -> bytes:
        try:
            return orjson.dumps(decoder.decode(piece, last))[1:-1]
        except UnicodeDecodeError:
            raise Invalid(
                f"data: these files are not text; ask at microversion {_BASE64} or later, which has base64"
            ) from None

    return encode


def archive_in(data: str, version: Version) -> BinaryIO:
    """The archive that a request's `data` stands for. Raises Invalid."""
    if version < _BASE64:
        return io.BytesIO(data.encode("utf-8"))
    if len(data) % 4 or not _TEXT.fullmatch(data):
        raise Invalid("data: is not valid base64", slug="base64-exception")
    return cast(BinaryIO, Decoded(data))


class Decoded(io.RawIOBase):
    """What base64 stands for, decoded as it is read: never all of it at once."""

    def __init__(self, text: str) -> None:
        """`text`: valid base64."""
        self._encoded = text
        self._size = len(text) // 4 * 3 - text[-2:].count("=")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(begin + offset, 0)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        count = max(min(len(buffer), self._size - self._at), 0)
        group, skipped = divmod(self._at, 3)
        end = group * 4 + -(-(skipped + count) // 3) * 4
        decoded = base64.b64decode(self._encoded[group * 4 : end])
        buffer[:count] = decoded[skipped : skipped + count]
        self._at += count
        return count
