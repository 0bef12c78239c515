"""Benchmarks of a cluster on one machine (decision 0021): what the queue, the other database and the hops cost."""

from __future__ import annotations

import http.client
import time

from tests.support.cluster import Cluster, up
from tests.support.images import ensure_busybox

from bench.figures import Report, Row, Sample, number, paired
from bench.house import Api, by_hand, running, say
from zun.model.names import runtime_name

WANTED = 1000.0  # ms, p99


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
    """Create -> Running on the cluster, on standalone and by hand, in turns; and a death on each host -> the API."""
    with up() as made:
        for host in made.hosts:
            with made.engine(host) as client:
                ensure_busybox(client)
        api = CloudApi(made)
        _creates(report, api, 5 if quick else 30)
        _deaths(report, made, api, 9 if quick else 99)


def _creates(report: Report, api: CloudApi, rounds: int) -> None:
    ours, alone, floor = [], [], []
    with by_hand() as hand, running() as service:
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
            name, seconds = hand.create()
            floor.append(seconds * 1000)
            hand.remove(name)
            say(
                f"  {turn + 1}/{rounds}: {ours[-1]:.0f} ms, standalone {alone[-1]:.0f}, by hand {floor[-1]:.0f}"
            )
        for each, uuid in anchors:
            each.remove(uuid)
    report.rows += [
        paired(
            "create -> Running, cluster : standalone", Sample(values=ours), Sample(values=alone)
        ),
        paired("create -> Running, cluster : by hand", Sample(values=ours), Sample(values=floor)),
    ]


def _deaths(report: Report, made: Cluster, api: CloudApi, rounds: int) -> None:
    times = []
    uuids = [api.create() for _ in made.hosts]
    for turn in range(rounds):
        uuid = uuids[turn % len(uuids)]
        api.until(uuid, "Running")
        with made.engine(api.host_of(uuid)) as client:
            begun = time.perf_counter()
            client.kill(runtime_name(uuid))
            api.until(uuid, "Stopped")
        times.append((time.perf_counter() - begun) * 1000)
        api.ask("POST", f"/v1/containers/{uuid}/start")
        say(f"  death {turn + 1}/{rounds}: {times[-1]:.0f} ms")
    for uuid in uuids:
        api.until(uuid, "Running")
        api.remove(uuid)
    sample = Sample(values=times)
    p99 = sample.quantile(0.99)
    report.rows.append(
        Row(
            name=f"death on {len(made.hosts)} hosts -> status, p50 and p99",
            ours=f"{number(sample.median)} ms, {number(p99)} ms",
            wanted="p99 < 1000 ms",
            good=p99 < WANTED,
        )
    )
    report.notes.append(
        "cluster: all hosts, databases and queues share this machine's processors: what is told is the cost of "
        "the hops, not the speed of a cloud. `docker kill` itself is within the death's time."
    )
