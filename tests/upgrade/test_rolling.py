"""The rolling upgrade of docs/how-to/deploy.md, from the last release to today's tree, while users work.

Both run at once, in every pairing an operator may come by; what one began the other ends; one step back is tried, too.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support import databases, releases
from tests.support.engine import PrivateEngine
from tests.support.images import NAME
from tests.support.parts import TODAY, parts, together
from tests.support.releases import Release
from tests.upgrade.rolling import Host, Rolling

pytestmark = pytest.mark.engine


@pytest.fixture
def yesterday(tmp_path: Path) -> Release:
    """The last release."""
    return releases.last(tmp_path / "yesterday")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    """Two, each with an engine of its own."""
    made = [
        Host(f"up-{n}", PrivateEngine(Path(tempfile.mkdtemp(prefix="zun-engine-")), f"zun-{os.getpid()}-u{n}"),
             tmp_path)
        for n in (1, 2)
    ]  # fmt: skip
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_begin, made))
        yield made
    finally:
        for host in made:
            host.engine.destroy()


def _begin(host: Host) -> None:
    host.engine.start()
    with host.engine.client() as client:
        client.tag(NAME, "busybox", "latest")  # what clients ask for


@pytest.fixture
def rolling(
    yesterday: Release,
    hosts: list[Host],
    keystone: Any,
    rabbitmq: Any,
    servers: databases.Servers,
    tmp_path: Path,
) -> Iterator[Rolling]:
    """Everything at work as the last release has it."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the clients: {seed}")
    options = keystone.options()
    options["DEFAULT"] = {"transport_url": rabbitmq.url, "service_down_time": 60}
    options["database"] = {"connection": servers.get(databases.MARIADB).empty()}
    # Seldom heard of: a heart that asks an engine which hangs holds up the end of its agent.
    options["compute"] = {
        "graceful_shutdown_timeout": 1,
        "max_in_flight": 16,
        "heartbeat_interval": 15,
    }
    with parts(tmp_path, options, yesterday) as made:
        found = Rolling(made, keystone, hosts, seed)
        try:
            yield found
        finally:
            found.close()


def test_both_are_what_they_are_taken_for(yesterday: Release) -> None:
    """Else all of this would try today's tree beside today's tree."""
    old, new = yesterday.who(), TODAY.who()
    assert yesterday.source is not None
    assert Path(old["file"]).is_relative_to(yesterday.source)
    assert not Path(new["file"]).is_relative_to(yesterday.source)
    assert (old["version"], new["version"]) == (yesterday.version, TODAY.version)
    assert old["version"] != new["version"]
    assert old["schema"] <= new["schema"]
    # Work that was accepted by yesterday's steps is ended by today's.
    assert set(old["steps"]) <= set(new["steps"])
    print(
        f"from {old['version']}, schema {old['schema']}, to {new['version']}, schema {new['schema']}"
    )


def test_a_rolling_upgrade(rolling: Rolling, yesterday: Release, keystone: Any) -> None:
    first, second = rolling.hosts
    api, conductor = rolling.process("api", yesterday), rolling.process("conductor", yesterday)
    together(api, conductor, *(rolling.agent(host, yesterday) for host in rolling.hosts))
    keystone.endpoint("zun", "container", f"{api.url}/v1")
    rolling.serve(api)
    kept = [rolling.running(host) for host in rolling.hosts]
    rolling.begin_clients()

    # The schema first, while only the last release runs.
    rolling.parts.upgrade()
    code, said = rolling.check(TODAY)
    assert code == 1 and f"is release {yesterday.version}" in said, said

    # A new conductor places what an old API accepted while there was none; then both do.
    assert conductor.stop() == 0
    waits = rolling.create(first, 0)
    together(rolling.process("conductor", TODAY))
    rolling.cloud.until(waits, "Running")
    # And a new API beside the old one, both before agents of the last release.
    newer = rolling.process("api", TODAY)
    together(newer, conductor)
    rolling.serve(api, newer)
    rolling.day()

    # Agents, in the middle of their work. The second host goes back once, as one does when something looks wrong.
    rolling.hand_over(first, TODAY)
    rolling.day()
    rolling.hand_over(second, TODAY)
    code, said = rolling.check(yesterday)
    assert code == 1 and f"is release {TODAY.version}" in said, said
    rolling.hand_over(second, yesterday)
    rolling.hand_over(second, TODAY)

    # The last of the old ones go.
    rolling.serve(newer)
    assert (api.stop(), conductor.stop()) == (0, 0)
    keystone.endpoint("zun", "container", f"{newer.url}/v1")
    rolling.day()
    code, said = rolling.check(TODAY)
    assert code == 0, said
    for uuid in [*kept, waits]:
        rolling.cloud.until(uuid, "Running")
    assert rolling.verdict() == []
