"""Load on one URL for a bounded time: by `wrk` where it is installed, else by threads of ours."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.figures import Sample

CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a server bore: answers a second, their milliseconds, and those of processor time it took for each."""

    rate: float
    count: int
    p50: float
    p99: float
    cpu: float = 0.0


def put(
    port: int, path: str, headers: Mapping[str, str], seconds: int, *pids: int, body: str = ""
) -> Load:
    """Asks again and again over `CONNECTIONS` connections. Raises RuntimeError where an answer is no success.

    `pids` are the server's processes. With a `body` it is a POST.
    """
    before = cpu_ms(*pids)
    borne = (_wrk if shutil.which("wrk") else _threads)(port, path, headers, seconds, body)
    return replace(borne, cpu=(cpu_ms(*pids) - before) / max(borne.count, 1))


def cpu_ms(*pids: int | None) -> float:
    """Milliseconds of processor time that processes have had."""
    ticks = 0
    for pid in filter(None, pids):
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(told[11]) + int(told[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def _wrk(port: int, path: str, headers: Mapping[str, str], seconds: int, body: str) -> Load:
    given = [word for key, value in headers.items() for word in ("-H", f"{key}: {value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if body:
            script.write(f'wrk.method = "POST"\nwrk.body = [[{body}]]\n')
            script.flush()
            given += ["-s", script.name]
        told = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "--latency", *given,
             f"http://127.0.0.1:{port}{path}"],
            capture_output=True, text=True, check=True, timeout=seconds + 60,
        ).stdout  # fmt: skip
    if "Non-2xx" in told or not _whole(told):
        raise RuntimeError(told)

    def quantile(share: str) -> float:
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", told, re.MULTILINE)
        assert found, told
        return float(found[1]) * _UNITS[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    count = re.search(r"(\d+) requests in", told)
    assert rate and count, told
    return Load(rate=float(rate[1]), count=int(count[1]), p50=quantile("50"), p99=quantile("99"))


def _whole(told: str) -> bool:
    """Whether no answer was lost. One that ends its connection without a word, as uWSGI's do, is an error to wrk."""
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    if errors is None:
        return True
    count = re.search(r"(\d+) requests in", told)
    connect, read, write, timeout = map(int, errors.groups())
    ended = (
        count is not None and abs(int(count[1]) - read) <= CONNECTIONS
    )  # the last are cut off by wrk itself
    return connect + write + timeout == 0 and ended


def _threads(port: int, path: str, headers: Mapping[str, str], seconds: int, body: str) -> Load:
    times: list[float] = []
    wrong: list[int] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while (begun := time.perf_counter()) < end:
            connection.request("POST" if body else "GET", path, body or None, dict(headers))
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                wrong.append(answer.status)
                return
            times.append((time.perf_counter() - begun) * 1000)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{path} answered {wrong[0]}")
    all_of_them = Sample(values=times)
    return Load(
        rate=len(times) / seconds,
        count=len(times),
        p50=all_of_them.median,
        p99=all_of_them.quantile(0.99),
    )
