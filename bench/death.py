"""Benchmark 3: a container dies behind our back; when does the API say so?"""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

from bench.figures import Report, Row, Sample, number
from bench.house import Api, Ear, Hand, by_hand, engine, running, say
from zun.model.names import runtime_name

WANTED = 500.0  # ms, p99


def death(report: Report, quick: bool) -> None:
    """SIGKILL to its first process and `docker kill` in turns, until GET shows another status than Running."""
    rounds = 10 if quick else 100
    ours: list[float] = []
    told: list[float] = []
    floor: list[float] = []
    with (
        by_hand() as hand,
        running() as service,
        closing(Ear("die")) as ear,
        closing(engine()) as client,
    ):
        api = Api(service)
        uuid = api.create()
        name = runtime_name(uuid)
        for turn in range(rounds):
            api.until(uuid, "Running")
            ear.forget(name)
            pid = client.inspect_container(name)["State"]["Pid"]
            begun, wall = time.perf_counter(), time.time()
            if turn % 2:
                client.kill(name)
            else:
                os.kill(pid, signal.SIGKILL)
            api.until(uuid, "Stopped")
            ours.append((time.perf_counter() - begun) * 1000)
            told.append((ear.of(name)[1] - wall) * 1000)
            floor.append(_by_hand(hand, ear))
            if turn + 1 < rounds:
                api.ask("POST", f"/v1/containers/{uuid}/start")
            say(
                f"  death {turn + 1}/{rounds}: {ours[-1]:.0f} ms, the engine's event {told[-1]:.0f} ms"
            )
    status, event = Sample(values=ours), Sample(values=told)
    p99 = status.quantile(0.99)
    report.rows += [
        Row(
            name="death -> status, p50", ours=f"{number(status.median)} ms",
            floor=f"{number(event.median)} ms (event)", ratio=status.median / event.median,
        ),
        Row(
            name="death -> status, p99", ours=f"{number(p99)} ms",
            floor=f"{number(event.quantile(0.99))} ms (event)", ratio=p99 / event.quantile(0.99),
            wanted="p99 < 500 ms", good=p99 < WANTED,
        ),
    ]  # fmt: skip
    report.notes.append(
        f"death: {rounds} deaths, so p99 is the second worst or the worst. A container of nobody's, killed "
        f"in turn: event after {Sample(values=floor).text}."
    )


def _by_hand(hand: Hand, ear: Ear) -> float:
    """The engine's own latency, for a container that the service knows nothing of."""
    name, _ = hand.create()
    pid = hand.inspect(name)["State"]["Pid"]
    wall = time.time()
    os.kill(pid, signal.SIGKILL)
    heard = ear.of(name)[1]
    hand.remove(name)
    return (heard - wall) * 1000
