"""A real registry on a free loopback port: Debian's docker-registry."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import bcrypt
from docker import APIClient

HOW = "no docker-registry: install Debian's docker-registry (its own daemon need not run)"
PATIENCE = 20.0  # seconds until it must answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Registry:
    """One registry process; with `users` (name -> password) it is private."""

    def __init__(self, folder: Path, users: dict[str, str] | None = None) -> None:
        binary = shutil.which("docker-registry")
        assert binary, HOW
        folder.mkdir(parents=True, exist_ok=True)
        self.domain = f"127.0.0.1:{free_port()}"
        self._log = folder / "log"
        config = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.domain},
        }
        if users:
            lines = [
                f"{u}:{bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode()}"
                for u, p in users.items()
            ]
            (folder / "htpasswd").write_text("\n".join(lines) + "\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        path = folder / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "serve", str(path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        # The process says in no other way that it is ready.
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text()
            try:
                with urllib.request.urlopen(f"http://{self.domain}/v2/", timeout=1):
                    return
            except urllib.error.HTTPError as e:
                e.close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"docker-registry does not answer: {self._log.read_text()}")

    def requests(self, what: str) -> int:
        """How many requests its access log has that contain `what`."""
        return sum(
            what in line and " HTTP/1.1" in line for line in self._log.read_text().splitlines()
        )

    def push(
        self, client: APIClient, image: str, name: str, tag: str, auth: dict[str, str] | None = None
    ) -> str:
        """Pushes a local image as domain/name:tag, drops the local name, and returns the digest."""
        repository = f"{self.domain}/{name}"
        assert client.tag(image, repository, tag)
        digest = ""
        lines = client.push(
            repository, tag=tag, stream=True, decode=True, auth_config=auth or {"username": ""}
        )
        for line in lines:
            assert "error" not in line, line
            digest = (line.get("aux") or {}).get("Digest", digest)
        client.remove_image(f"{repository}:{tag}")
        return digest

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
