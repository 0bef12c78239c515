"""Benchmark 8: what a cluster that does nothing asks of its database, and how that grows with its hosts.

The agents are the real ones with the settings they have by default, each with connections of its own; only their engine
is a fake. There is a conductor, too. The floor is one beat a host, an UPDATE and a commit, by the driver alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from tests.support import workbench
from tests.support.house import KEY, Fakes

from bench import load
from bench.figures import Report, Row, number
from bench.house import say
from zun import conf
from zun.bus.local import LocalBus
from zun.cmd import wiring
from zun.store import migrate
from zun.store.database import Database
from zun.work.metrics import WorkMetrics
from zun.work.secrets import Secrets

HOSTS = (50, 200, 500)
BEAT = 10.0  # [compute] heartbeat_interval, as it is by default
#: Statements a host may need and second with the most hosts, as a multiple of those with the fewest.
WANTED = 1.1
_EACH = 50  # agents in a process
_CONDUCTOR = "conductor"
#: What the server counts: its status variable, and what it is.
_COUNTED = {
    "Queries": "statements", "Handler_read_key": "keys looked up", "Handler_read_next": "rows read off indexes",
    "Handler_read_rnd_next": "rows read off tables", "Handler_update": "rows written", "Handler_write": "rows added",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was counted: by the server in all, a second; its processors; by kind and asker, a second; connections."""

    rates: Mapping[str, float]
    cpu: float
    agents: Mapping[str, float]
    conductor: Mapping[str, float]
    connections: int


def idle(report: Report, quick: bool) -> None:
    """A cluster of each size, one after the other, each on an empty database."""
    seconds = 20 if quick else 60
    told: dict[int, tuple[Told, float]] = {}
    with workbench.directory() as folder:
        for count in HOSTS:
            settings = (
                "max-connections=8000", "open-files-limit=32000", "table-open-cache=4000",
            )  # fmt: skip
            server = workbench.module("mariadb").MariaDB(
                folder / f"mariadb-{count}", durable=True, settings=settings
            )
            server.start()
            try:
                told[count] = _measure(server, count, seconds)
            finally:
                server.stop()
    _rows(report, told)


def _measure(server: Any, count: int, seconds: int) -> tuple[Told, float]:
    """What a cluster of `count` hosts asks; and the processor that its beats alone take."""
    url = server.create("zun", "zun", "secret")
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with ExitStack() as stack:
        askers = [
            stack.enter_context(_asker(url, str(first), str(min(_EACH, count - first))))
            for first in range(0, count, _EACH)
        ]
        conductor = stack.enter_context(_asker(url, _CONDUCTOR, "1"))
        every = [*askers, conductor]
        for each in every:
            each.until("ready")
        time.sleep(BEAT)  # the first listings, and the first of everything
        before, cpu = _status(server), load.cpu_ms(server.pid)
        for each in every:
            each.say("begin")
        began = time.monotonic()
        time.sleep(seconds)
        lasted = time.monotonic() - began
        after, used = _status(server), load.cpu_ms(server.pid) - cpu
        counted = [each.counted() for each in every]
    agents: Counter[str] = sum((Counter(each) for each in counted[:-1]), Counter())
    told = Told(
        rates={name: (after[name] - before[name]) / lasted for name in _COUNTED},
        cpu=used / lasted / 1000,
        agents={kind: number_ / lasted for kind, number_ in agents.items()},
        conductor={kind: number_ / lasted for kind, number_ in counted[-1].items()},
        connections=after["Threads_connected"],
    )
    say(
        f"  {count} hosts: {told.rates['Queries']:,.0f} statements/s, {told.cpu:.3f} of a processor, "
        f"{told.connections} connections"
    )
    return told, _floor(server, url, count, min(seconds, 20))


def _status(server: Any) -> dict[str, int]:
    lines = server.execute("SHOW GLOBAL STATUS").splitlines()
    found = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return {name: int(found[name]) for name in (*_COUNTED, "Threads_connected")}


def _floor(server: Any, url: str, count: int, seconds: int) -> float:
    """Processors that the server needs for one beat a host and interval, by the driver alone."""
    engine = sa.create_engine(url)
    connection = engine.raw_connection()
    beat = (
        "UPDATE services SET last_seen_up = UTC_TIMESTAMP(6), report_count = report_count + 1 WHERE host = %s "
        "AND `binary` = 'zun-compute'"
    )
    before, began, beats = load.cpu_ms(server.pid), time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        if beats < passed * count / BEAT:
            cursor = connection.cursor()
            cursor.execute(beat, (_name(beats % count),))
            assert cursor.rowcount == 1
            cursor.close()
            connection.commit()
            beats += 1
        else:
            time.sleep(0.002)
    used = load.cpu_ms(server.pid) - before
    connection.close()
    engine.dispose()
    return used / seconds / 1000


def _rows(report: Report, told: Mapping[int, tuple[Told, float]]) -> None:
    for count, (each, floor) in told.items():
        least = 2 * count / BEAT
        report.rows += [
            Row(
                name=f"{count} idle hosts, statements a second", ours=number(each.rates["Queries"]),
                floor=f"{number(least)} (the beats)", ratio=each.rates["Queries"] / least,
            ),
            Row(
                name=f"{count} idle hosts, MariaDB's processor", ours=f"{each.cpu * 100:.1f} %",
                floor=f"{floor * 100:.1f} % (the beats)", ratio=each.cpu / floor if floor else None,
            ),
        ]  # fmt: skip
        rates = ", ".join(f"{_COUNTED[name]} {each.rates[name]:,.0f}" for name in _COUNTED)
        report.notes += [
            f"idle: {count} hosts, a second: {rates}; {each.connections} connections.",
            f"idle: {count} hosts, a host and minute: {_kinds(each.agents, count)}.",
            f"idle: {count} hosts, the conductor, a minute: {_kinds(each.conductor, 1)}.",
        ]
    few, many = min(told), max(told)
    mine = {count: sum(each.agents.values()) / count for count, (each, _) in told.items()}
    ratio = mine[many] / mine[few]
    report.rows.append(
        Row(
            name="statements of an idle agent, a minute", ours=f"{number(mine[many] * 60)} ({many} hosts)",
            floor=f"{number(mine[few] * 60)} ({few})", ratio=ratio, wanted=f"<= {WANTED:.2f}", good=ratio <= WANTED,
        )
    )  # fmt: skip


def _kinds(rates: Mapping[str, float], among: int) -> str:
    ordered = sorted(rates.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {rate * 60 / among:.1f}" for kind, rate in ordered)


# ---- the processes that ask


class Asker:
    """A process of agents, or of the conductor: told by lines, and telling by lines."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.idle", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def until(self, word: str) -> None:
        """Waits for a line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"{word}\n", line

    def say(self, word: str) -> None:
        """Says a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def counted(self) -> Mapping[str, int]:
        """Its statements since it was told to begin, by kind."""
        self.say("tell")
        assert self.process.stdout is not None
        counts: Mapping[str, int] = json.loads(self.process.stdout.readline())
        return counts


@contextmanager
def _asker(*arguments: str) -> Iterator[Asker]:
    made = Asker(*arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def _name(number_: int) -> str:
    return f"host-{number_:04}"


def ask(url: str, what: str, count: int) -> None:
    """What a process of these does: `what` is the number of the first agent, or the conductor."""
    counts: Counter[str] = Counter()
    settings = wiring.settings_of(conf.load([]))
    # All have the same address, and each a port.
    settings = replace(settings, endpoint=replace(settings.endpoint, host="127.0.0.1", port=0))
    begin = _conductor if what == _CONDUCTOR else _agent(int(what))
    for index in range(count):
        db = Database(url)
        sa.event.listen(db.engine, "before_cursor_execute", _counting(counts))
        begin(wiring.Ground(db=db, bus=LocalBus(), settings=settings), index)
        time.sleep(BEAT / count if what != _CONDUCTOR else 0)  # they were not all started at once
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    assert sys.stdin.readline() == "begin\n"
    counts.clear()
    assert sys.stdin.readline() == "tell\n"
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _conductor(ground: wiring.Ground, _index: int) -> None:
    metrics = WorkMetrics(CollectorRegistry())
    wiring.build_conductor(ground, "bench", metrics=metrics).start()


def _agent(first: int) -> Callable[[wiring.Ground, int], None]:
    def begin(ground: wiring.Ground, index: int) -> None:
        fakes = Fakes()

        def drivers(_owner: str) -> wiring.Drivers:
            return wiring.Drivers(
                runtime=fakes.runtime, images={"docker": fakes.images}, network=fakes.networks,
                volumes=fakes.volumes,
            )  # fmt: skip

        made = wiring.build_compute(
            ground, _name(first + index), drivers, secrets=Secrets([KEY]), metrics=WorkMetrics(CollectorRegistry())
        )  # fmt: skip
        made.agent.start()

    return begin


def _counting(counts: Counter[str]) -> Callable[..., None]:
    def saw(_conn: Any, _cursor: Any, text: str, *_: Any) -> None:
        counts[_kind(text)] += 1

    return saw


def _kind(text: str) -> str:
    """What a statement does to which table, and by what it finds it."""
    words = text.split()
    if words[0] == "UPDATE":
        return f"UPDATE {words[1]}"
    if "FROM" not in words:
        return " ".join(words[:2])
    table = words[words.index("FROM") + 1]
    if table == "operations":
        return "SELECT operations" + (", next_due" if "min(" in text else "")
    return f"{words[0]} {table}"


if __name__ == "__main__":
    ask(sys.argv[1], sys.argv[2], int(sys.argv[3]))
