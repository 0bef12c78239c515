"""Services that several kinds of tests share, each started once, when the first test asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import cluster as clusters
from tests.support import databases
from tests.support.cluster import Cluster
from tests.support.workbench import broker, identity


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that was run here has written where this test's stderr was, which will be closed."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers).difference(before):
        if type(handler) is logging.StreamHandler:  # those of pytest are its own
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Any]:
    """A RabbitMQ that runs (`workbench.rabbitmq.RabbitMQ`). Whoever kills it starts it again."""
    with broker() as started:
        yield started


@pytest.fixture(scope="session")
def servers() -> Iterator[databases.Servers]:
    """Private MariaDB and PostgreSQL servers, started when a test first needs them."""
    with databases.servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def keystone() -> Iterator[Any]:
    """A Keystone that runs, with users (`workbench.keystone.Keystone`). Whoever stops it starts it again."""
    with identity() as started:
        yield started


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster that is well (`./cluster up`). Whoever breaks something of it repairs it."""
    with clusters.up() as made:
        yield made
