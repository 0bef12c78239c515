"""Output cut where characters end."""

from __future__ import annotations

import codecs


class Utf8:
    """Makes bytes that come in pieces into pieces that are valid UTF-8 each (contract 5.4).

    A character that is not whole waits for its end, three bytes at most; what can be no character becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._clean = True  # no character is waiting

    def feed(self, data: bytes) -> bytes:
        """As much of what has come as is whole; may be empty."""
        if self._clean and data.isascii():
            return data
        text = self._decoder.decode(data)
        self._clean = not self._decoder.getstate()[0]
        return text.encode()

    def flush(self) -> bytes:
        """What is left when no more comes."""
        self._clean = True
        return self._decoder.decode(b"", True).encode()
