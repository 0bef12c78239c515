"""The API under the WSGI servers that operators have: real ones, that fork, under a path of their own."""

from __future__ import annotations

import signal
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import eventually
from tests.support.parts import Part, Parts, ask, parts
from tests.support.service import free_port
from tests.support.wsgi import gunicorn, uwsgi

from zun.cmd import credentials

SERVERS = ("gunicorn", "gunicorn --preload", "uwsgi", "uwsgi, forks late")


@pytest.fixture(scope="module")
def service(rabbitmq: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("wsgi")
    with parts(folder, {"DEFAULT": {"transport_url": rabbitmq.url}}) as made:
        credentials.ensure(folder / "state")
        yield made


def command(server: str, port: int, file: Path) -> list[str]:
    """What starts a server, with the application under a path."""
    if server.startswith("gunicorn"):
        extra = ["--preload"] if "preload" in server else []
        return gunicorn(port, file, *extra, under="/container")
    return uwsgi(port, file, late="late" in server, under=True)


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest, service: Parts) -> Iterator[Part]:
    """One server with the application under /container."""
    port, figures = free_port(), free_port()
    name = request.param.replace(" ", "-").replace(",", "")
    shared = service.folder / f"figures-{name}"
    shared.mkdir()
    file = service.config(
        name, metrics={"port": figures}, oslo_middleware={"enable_proxy_headers_parsing": "true"},
        cors={"allowed_origin": "https://dashboard.example.com"},
    )  # fmt: skip
    made = service.add(
        command(request.param, port, file), name, f"http://127.0.0.1:{port}/container",
        PROMETHEUS_MULTIPROC_DIR=str(shared), FIGURES=str(figures),
    )  # fmt: skip
    made.start()
    yield made
    if not made.dead:
        made.send(signal.SIGKILL)


def basic(service: Parts) -> dict[str, str]:
    password = (service.folder / "state" / "password").read_text().strip()
    return {"Authorization": "Basic " + b64encode(f"admin:{password}".encode()).decode()}


def figures_of(served: Part) -> str:
    port = served._env["FIGURES"]
    answer: str = eventually(lambda: ask(f"http://127.0.0.1:{port}", "GET", "/metrics")[1])
    return answer


def test_it_serves_under_its_path(served: Part, service: Parts) -> None:
    assert set(served.health()) == {"database", "bus"}
    root = ask(served.url, "GET", "/")[1]
    assert root["versions"][0]["links"][0]["href"] == f"{served.url}/v1/"
    assert ask(served.url, "GET", "/v1/containers")[0] == 401
    me = basic(service)
    for number in range(2):
        body = {"image": "busybox", "name": f"c{number}", "cpu": 0.1, "memory": "32"}
        status, made = ask(served.url, "POST", "/v1/containers", body, **me)
        assert status == 202, made
    # Clients strip exactly /v1 from where the next page is (contract 13.1-10).
    listed = ask(served.url, "GET", "/v1/containers?limit=1", **me)[1]
    assert listed["next"].startswith(f"{served.url.removesuffix('/container')}/v1/containers?")
    status, host = ask(served.url, "GET", "/v1/containers/c1/logs", **me)
    assert status in (400, 409), host


def test_proxies_and_browsers(served: Part) -> None:
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example.com"}
    root = ask(served.url, "GET", "/", None, **proxied)[1]
    href: str = root["versions"][0]["links"][0]["href"]
    assert href.startswith("https://cloud.example.com")
    origin = {"Origin": "https://dashboard.example.com", "Access-Control-Request-Method": "POST"}
    assert ask(served.url, "OPTIONS", "/v1/containers", None, **origin)[0] == 200
    assert ask(served.url, "GET", "/v1/containers", None, **origin)[0] == 401


def test_workers_are_processes_of_their_own(served: Part, service: Parts) -> None:
    me = basic(service)

    def names() -> set[str]:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ask(served.url, "GET", "/v1/containers", **me)[0], range(16)))
        text = served.log.read_text()
        return {line.split()[-4] for line in text.splitlines() if " serves, process " in line}

    eventually(lambda: len(names()) == 2, "both workers have begun")
    assert "zun_http_requests_total{" in figures_of(served)


def test_told_to_end_it_ends(served: Part) -> None:
    assert served.stop() == 0
