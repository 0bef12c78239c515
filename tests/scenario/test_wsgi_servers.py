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
from tests.support.parts import BIN, Part, Parts, ask, parts
from tests.support.service import free_port

from zun.cmd import credentials

ETC = Path(__file__).parents[2] / "etc"
SERVERS = ("gunicorn", "gunicorn --preload", "uwsgi", "uwsgi, forks late")


@pytest.fixture(scope="module")
def service(rabbitmq: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("wsgi")
    with parts(folder, {"DEFAULT": {"transport_url": rabbitmq.url}}) as made:
        credentials.ensure(folder / "state")
        yield made


def gunicorn(extra: list[str], port: int, file: Path) -> list[str]:
    """With the file we ship; said again is only where it listens, and what the file says of a path."""
    return [
        str(BIN / "gunicorn"), "--config", str(ETC / "gunicorn/zun-api.conf.py"), *extra,
        "--bind", f"127.0.0.1:{port}", "--env", f"OS_ZUN_CONFIG_FILES={file}",
        "--env", "SCRIPT_NAME=/container", "zun.wsgi.api:application",
    ]  # fmt: skip


def uwsgi(late: bool, port: int, file: Path) -> list[str]:
    """With the file we ship; in a copy of it, where it listens and is configured, and its path as the file says."""
    text = (ETC / "uwsgi/zun-api.ini").read_text()
    changes = {
        "= 127.0.0.1:9517\n": f"= 127.0.0.1:{port}\n",
        "=/etc/zun/zun.conf\n": f"={file}\n",
        "\nmodule =": "\n;module =",
        "\n;mount =": "\nmount =",
        "\n;manage-script-name =": "\nmanage-script-name =",
    }
    if late:
        changes["lazy-apps = true\n"] = ""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    ini = file.with_suffix(".ini")
    ini.write_text(text)
    return [str(BIN / "uwsgi"), "--ini", str(ini), "--virtualenv", str(BIN.parent)]


def command(server: str, port: int, file: Path) -> list[str]:
    """What starts a server."""
    if server.startswith("gunicorn"):
        return gunicorn(["--preload"] if "preload" in server else [], port, file)
    return uwsgi("late" in server, port, file)


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
