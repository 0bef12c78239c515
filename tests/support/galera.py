"""A Galera cluster of MariaDB on loopback: each node has all data, and may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support.databases import MARIADB, Server
from tests.support.service import free_port

#: Installed with Debian's mariadb-server.
PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
HOW = f"no {PROVIDER}: install Debian's mariadb-server, with galera-4"


@contextmanager
def nodes(number: int = 3) -> Iterator[list[Server]]:
    """Servers that are one cluster. With three, one may be lost: those that are left are most of them."""
    if not PROVIDER.exists():
        pytest.fail(HOW, pytrace=False)
    ports = [free_port() for _ in range(number)]
    with ExitStack() as stack:
        made: list[Server] = []
        for port in ports:
            first = ports[:1] if made else []
            node = Server(MARIADB, settings=_settings(port, first))
            stack.callback(node.close)
            made.append(node)
        yield made


def _settings(port: int, others: list[int]) -> list[str]:
    """Of a node on `port` that joins `others`, or begins a cluster."""
    return [
        "wsrep_on=ON",
        f"wsrep_provider={PROVIDER}",
        "wsrep_cluster_name=zun",
        f"wsrep_cluster_address=gcomm://{','.join(f'127.0.0.1:{other}' for other in others)}",
        "wsrep_node_address=127.0.0.1",
        f"wsrep_provider_options=gmcast.listen_addr=tcp://127.0.0.1:{port};gcache.size=16M;"
        f"ist.recv_addr=127.0.0.1:{free_port()}",
        # A copy of the first node's files.
        "wsrep_sst_method=rsync",
        f"wsrep_sst_receive_address=127.0.0.1:{free_port()}",
        # As docs/how-to/databases.md says.
        "wsrep_auto_increment_control=OFF",
        "binlog_format=ROW",
        "innodb_autoinc_lock_mode=2",
    ]
