"""The floor of reads: Falcon answers a constant, on the same server with the same threads.

`python -m bench.bare PORT THREADS FILE...` serves the content of each FILE at `/0`, `/1`, and so on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import falcon
import waitress


class Constant:
    """Answers always the same."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The answer."""
        resp.content_type = "application/json"
        resp.data = self._body


def main() -> None:
    """Serves until it is ended."""
    port, threads, *files = sys.argv[1:]
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    for index, name in enumerate(files):
        app.add_route(f"/{index}", Constant(Path(name).read_bytes()))
    waitress.serve(
        app, host="127.0.0.1", port=int(port), threads=int(threads), ident=None, _quiet=True
    )


if __name__ == "__main__":
    main()
