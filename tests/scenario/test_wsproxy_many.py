"""A thousand sessions at once on one `zun-wsproxy`, and what it says where the system allows fewer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.house import PATIENCE
from tests.support.proxying import Proxied, many_files, proxy_process
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from zun.store import migrate
from zun.store.database import Database

COUNT = 1000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'zun.sqlite'}")
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """This process has both other ends of each session."""
    with many_files():
        yield


async def talk(url: str, n: int, all_there: asyncio.Barrier) -> None:
    """One session: an echo before all are there, and one after."""
    async with connect(
        url,
        subprotocols=[Subprotocol("binary")],
        proxy=None,
        ping_interval=None,
        open_timeout=4 * PATIENCE,
    ) as ws:
        for word in (b"first %d" % n, b"second %d" % n):
            await ws.send(word)
            assert await ws.recv() == word
            await all_there.wait()


def test_a_thousand_sessions_where_few_files_may_be_open_at_first(
    db: Database, tmp_path: Path
) -> None:
    with proxy_process(db, tmp_path, files=(256, 8192), max_sessions=COUNT) as (proxy, _):
        urls = [proxy.url(proxy.token(expires_in=3600)) for _ in range(COUNT)]

        async def main() -> None:
            all_there = asyncio.Barrier(COUNT)

            async with asyncio.timeout(8 * PATIENCE), asyncio.TaskGroup() as group:
                for n in range(COUNT):
                    group.create_task(talk(urls[n], n, all_there))

        asyncio.run(main())
        assert len(proxy.agent.requests) == COUNT
        proxy.idle()


def test_where_the_system_allows_fewer_it_says_so_and_refuses_the_others(
    db: Database, tmp_path: Path
) -> None:
    with proxy_process(db, tmp_path, files=(256, 2504), max_sessions=COUNT) as (proxy, _):
        assert "at most 2 interactive sessions, not 1000" in (tmp_path / "wsproxy.log").read_text()
        with proxy.connect(), proxy.connect():
            refused_by_limit(proxy)


def refused_by_limit(proxy: Proxied) -> None:
    with pytest.raises(InvalidStatus) as raised, proxy.connect():
        pass
    assert raised.value.response.status_code == 503
