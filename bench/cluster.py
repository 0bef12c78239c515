"""Benchmarks of a cluster on one machine (decision 0021): what the queue, the other database and the hops cost."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from tests.support.cluster import Cluster, up
from tests.support.images import ensure_busybox

from bench.figures import Report, Row, Sample, number, paired
from bench.house import Api, Ear, Hand, by_hand, running, say
from zun.model.names import runtime_name

WANTED = 1000.0  # ms, p99
CREATORS = 4


class CloudApi(Api):
    """One keep-alive connection to the first API of a cluster, as an administrator. For one thread."""

    def __init__(self, cluster: Cluster) -> None:
        parts = cluster.parts
        self._headers = {
            "X-Auth-Token": parts.keystone.token(parts.admin),
            "OpenStack-API-Version": "container 1.40",
            "Content-Type": "application/json",
        }
        self._http = http.client.HTTPConnection(parts.address, parts.api_ports[0], timeout=60)

    def host_of(self, uuid: str) -> str:
        """Where it runs."""
        return str(self.ask("GET", f"/v1/containers/{uuid}")["host"])


def cluster(report: Report, quick: bool) -> None:
    """Create -> Running on the cluster, on standalone and by hand, in turns; and deaths on each host -> the API."""
    with up() as made:
        for host in made.hosts:
            with made.engine(host) as client:
                ensure_busybox(client)
        api = CloudApi(made)
        _creates(report, made, api, 5 if quick else 30)
        rounds = 9 if quick else 99
        _deaths(report, made, api, rounds, "at rest", 1)
        with _creating(made) as ended:
            _deaths(report, made, api, rounds, f"while {CREATORS} clients create and delete", 3)
        report.notes.append(f"cluster: {len(ended)} containers were created meanwhile.")
    report.notes.append(
        "cluster: all hosts, databases and queues share this machine's processors: what is told is the cost of "
        "the hops, not the speed of a cloud. Deaths are counted from the engine's own time stamp of its event."
    )


def _socket(made: Cluster, host: str) -> str:
    return f"unix://{made.parts.host(host).engine.path}"


def _creates(report: Report, made: Cluster, api: CloudApi, rounds: int) -> None:
    ours: list[float] = []
    alone: list[float] = []
    floors: dict[str, list[float]] = {"by hand": [], "by hand on a host's engine": []}
    with (
        by_hand() as hand,
        by_hand(_socket(made, made.hosts[0])) as there,
        running() as service,
    ):
        other = Api(service)
        anchors = [
            (each, each.create()) for each in (api, api, api, other)
        ]  # keep networks standing
        for each, uuid in anchors:
            each.until(uuid, "Running")
        for turn in range(rounds):
            for times, each in ((ours, api), (alone, other)):
                begun = time.perf_counter()
                uuid = each.create()
                each.until(uuid, "Running")
                times.append((time.perf_counter() - begun) * 1000)
                each.remove(uuid)
            for times, one in zip(floors.values(), (hand, there), strict=True):
                times.append(_by_hand(one))
            say(
                f"  {turn + 1}/{rounds}: {ours[-1]:.0f} ms, standalone {alone[-1]:.0f}, "
                + ", ".join(f"{name} {times[-1]:.0f}" for name, times in floors.items())
            )
        for each, uuid in anchors:
            each.remove(uuid)
    name, sample = "create -> Running, cluster", Sample(values=ours)
    report.rows += [
        paired(f"{name} : standalone", sample, Sample(values=alone)),
        *(paired(f"{name} : {floor}", sample, Sample(values=times)) for floor, times in floors.items()),
        paired("create -> Running, standalone : by hand", Sample(values=alone), Sample(values=floors["by hand"])),
    ]  # fmt: skip


def _by_hand(hand: Hand) -> float:
    name, seconds = hand.create()
    hand.remove(name)
    return seconds * 1000


@contextmanager
def _creating(made: Cluster) -> Iterator[list[str]]:
    """Clients that create and delete until the block ends; what they have created."""
    over, ended = threading.Event(), list[str]()
    wrong: list[Exception] = []

    def work() -> None:
        api = CloudApi(made)
        try:
            while not over.is_set():
                uuid = api.create()
                api.until(uuid, "Running")
                ended.append(uuid)
                api.remove(uuid)
        except Exception as exc:
            wrong.append(exc)

    threads = [threading.Thread(target=work) for _ in range(CREATORS)]
    for thread in threads:
        thread.start()
    try:
        yield ended
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if wrong:
        raise wrong[0]


def _deaths(
    report: Report, made: Cluster, api: CloudApi, rounds: int, when: str, each: int
) -> None:
    """From the engine's event of a death to the API's answer; and to a client that only listens to that engine.

    Of `each` containers a host, in turn. With one, nothing else goes on: it runs again before the next dies.
    """
    shown: list[float] = []
    heard: list[float] = []
    uuids = [api.create() for _ in range(each * len(made.hosts))]
    with ExitStack() as stack:
        ears = {
            host: stack.enter_context(closing(Ear("die", _socket(made, host))))
            for host in made.hosts
        }
        for turn in range(rounds):
            uuid = uuids[turn % len(uuids)]
            api.until(uuid, "Running")
            host = api.host_of(uuid)
            ears[host].forget(uuid)
            with made.engine(host) as client:
                # Whoever kills is answered late: the API may know of it before.
                killer = threading.Thread(target=client.kill, args=(runtime_name(uuid),))
                killer.start()
                api.until(uuid, "Stopped")
                now = time.time()
                killer.join()
            happened, came = ears[host].of(uuid)
            shown.append((now - happened) * 1000)
            heard.append((came - happened) * 1000)
            api.ask("POST", f"/v1/containers/{uuid}/start")
            if each == 1:
                api.until(uuid, "Running")
            say(f"  death {when} {turn + 1}/{rounds}: {shown[-1]:.0f} ms")
    for uuid in uuids:
        api.until(uuid, "Running")
        api.remove(uuid)
    for share, wanted in ((0.5, None), (0.99, WANTED)):
        took, event = Sample(values=shown).quantile(share), Sample(values=heard).quantile(share)
        report.rows.append(
            Row(
                name=f"event of a death on {len(made.hosts)} hosts -> API, p{share * 100:.0f}, {when}",
                ours=f"{number(took)} ms", floor=f"{number(event)} ms (who listens)", ratio=took / event,
                wanted="" if wanted is None else f"p99 < {wanted:.0f} ms",
                good=None if wanted is None else took < wanted,
            )
        )  # fmt: skip
