"""What goes from host to host, and deaths on the way: what `test_move` and `test_recreate` share."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support import databases
from tests.support.house import PATIENCE
from tests.support.neighbourhood import Died, Neighbourhood

from zun.model.container import Container
from zun.model.lifecycle import Status
from zun.store import schema
from zun.work.clock import utcnow

MOVABLE: dict[str, Any] = {
    "restart_policy": {"Name": "always", "MaximumRetryCount": "0"},
    "hints": {"on_host_failure": "recreate"},
}


def running_somewhere(street: Neighbourhood) -> tuple[str, str, Container]:
    """A container that runs, its host, and its row."""
    for name in street.hosts:
        street.begin(name)
    street.conduct()
    uuid = street.create(**MOVABLE)
    row = street.settled(uuid)
    assert row is not None and row.status is Status.RUNNING and row.host is not None
    return uuid, row.host, row


def running_on_a_dead_host(street: Neighbourhood) -> tuple[str, str, Container]:
    """A container that runs, its host, whose agent is gone - its engine goes on -, and its row as it was."""
    uuid, host, row = running_somewhere(street)
    street.rest()
    street.end(host)
    return uuid, host, row


def age(street: Neighbourhood, name: str) -> None:
    """The host was heard of for the last time long ago."""
    past = utcnow() - timedelta(hours=1)
    with street.db.write() as conn:
        conn.execute(
            schema.services.update()
            .where(schema.services.c.host == name)
            .values(last_seen_up=past, contact_at=past, lease_until=past)
        )


def killed_conductor(path: Path, point: str) -> None:
    """A conductor, on the database in `path`, lives until it comes to a point."""
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.conductor", databases.url_in(path), point],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, _ = victim.communicate(timeout=PATIENCE)
    finally:
        victim.kill()
        victim.wait()
    assert f"died at {point}" in out
    assert victim.returncode == -9


def dies_at(street: Neighbourhood, point: str) -> threading.Event:
    """Whoever comes to a point first dies there; from the next agent that begins on."""
    died = threading.Event()

    def checkpoint(name: str) -> None:
        if name == point and not died.is_set():
            died.set()
            raise Died

    street.checkpoint = checkpoint
    return died


def bury(street: Neighbourhood, name: str) -> None:
    """The worker of an agent is dead: what it has in hand, nobody ends. Another begins."""
    agent = street.hosts[name].agent
    assert agent is not None
    agent.stop(0.1)
    street.hosts[name].agent = None
    street.begin(name)
