"""URLs in answers (contract 2.0, `links` and `next`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

Link = dict[str, str]


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the client reached us: `http://host:port`, and the prefix the API is mounted under."""

    host: str
    mount: str

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Urls:
        """From a WSGI environment; SCRIPT_NAME is the mount prefix (defect 13.2-45)."""
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        mount = quote(environ.get("SCRIPT_NAME", "").encode("latin-1")).rstrip("/")
        return cls(f"{environ['wsgi.url_scheme']}://{host}", mount)

    @property
    def base(self) -> str:
        """What every link of ours begins with."""
        return self.host + self.mount

    def resource(self, collection: str, ident: str) -> str:
        """The URL of one resource."""
        return f"{self.base}/v1/{collection}/{ident}"

    def links(self, collection: str, ident: str) -> list[Link]:
        """`self` and `bookmark`, the latter without a version."""
        return [
            {"href": self.resource(collection, ident), "rel": "self"},
            {"href": f"{self.base}/{collection}/{ident}", "rel": "bookmark"},
        ]

    def next(self, collection: str, params: Sequence[tuple[str, str]]) -> str:
        """The next page. Never the mount prefix: clients strip exactly `/v1` (contract 13.1-10)."""
        return f"{self.host}/v1/{collection}?{urlencode(params)}"
