"""The contract of a network driver, on the fake and on the real engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.support.lab import Lab, soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerNetworks
from zun.drivers.network import NetworkSpec, PortSpec
from zun.drivers.runtime import Attachment
from zun.model import names


def test_ensure_makes_it_once(lab: Lab) -> None:
    spec = lab.network(31)
    lab.networks.ensure_network(spec, soon())
    lab.networks.forget(spec.uuid)
    lab.networks.ensure_network(spec, soon())
    assert list(lab.networks.list_networks(soon())) == [spec.uuid]


def test_ensure_in_parallel_makes_it_once(lab: Lab) -> None:
    spec = lab.network(32)
    lab.networks.remove_network(spec.uuid, soon())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: lab.networks.ensure_network(spec, soon()), range(4)))
    assert list(lab.networks.list_networks(soon())) == [spec.uuid]
    if lab.engine is not None:
        with lab.engine.call("list") as client:
            assert len(client.networks(names=[names.network_name(spec.uuid)])) == 1


def test_overlapping_subnets_conflict(lab: Lab) -> None:
    spec = lab.network(33)
    other = replace(spec, uuid=names.new_uuid(), subnet="10.213.33.128/25")
    with pytest.raises(errors.Conflict):
        lab.networks.ensure_network(other, soon())
    assert list(lab.networks.list_networks(soon())) == [spec.uuid]


def test_an_older_life_with_another_subnet_is_replaced_if_nobody_uses_it(lab: Lab) -> None:
    spec = lab.network(34)
    newer = replace(spec, subnet="10.213.35.0/24")
    lab.networks.ensure_network(newer, soon())
    uuid = lab.running(attachments=lab.attachments((newer, 5)))
    with pytest.raises(errors.Conflict):
        lab.networks.ensure_network(spec, soon())
    assert lab.look(uuid).addresses == {names.network_name(spec.uuid): ("10.213.35.5",)}


def test_remove_of_what_is_in_use_conflicts(lab: Lab) -> None:
    spec = lab.network(36)
    uuid = lab.running(attachments=lab.attachments((spec, 5)))
    with pytest.raises(errors.Conflict):
        lab.networks.remove_network(spec.uuid, soon())
    lab.runtime.remove(uuid, soon(), force=True)
    for _ in range(2):
        lab.networks.remove_network(spec.uuid, soon())
    assert list(lab.networks.list_networks(soon())) == []


def test_nothing_is_done_past_the_deadline(lab: Lab) -> None:
    spec = NetworkSpec(uuid=names.new_uuid(), project_id="p", name="n", subnet="10.213.37.0/24")
    with pytest.raises(errors.TimedOut):
        lab.networks.ensure_network(spec, Deadline(0))
    assert list(lab.networks.list_networks(soon())) == []


def test_a_bad_subnet_is_rejected(lab: Lab) -> None:
    spec = NetworkSpec(uuid=names.new_uuid(), project_id="p", name="n", subnet="nonsense")
    with pytest.raises(errors.Rejected):
        lab.networks.ensure_network(spec, soon())


def test_the_plan_names_networks_as_the_engine_does(lab: Lab) -> None:
    port = PortSpec(uuid="p", network_uuid="n", container_uuid="c", address="10.0.0.5")
    assert list(lab.networks.plan([port, replace(port, address="fd00::5")])) == [
        Attachment(network="zun-n", address_v4="10.0.0.5"),
        Attachment(network="zun-n", address_v6="fd00::5"),
    ]


@pytest.mark.engine
def test_what_was_made_sure_of_costs_no_call(docker_lab: Lab) -> None:
    """Shown by removing it by hand: only a doubt, or `forget`, makes the driver look again."""
    spec = docker_lab.network(38)
    engine = docker_lab.engine
    assert engine is not None

    def remove_by_hand() -> None:
        with engine.call("remove it by hand") as client:
            client.remove_network(names.network_name(spec.uuid))

    def there() -> bool:
        docker_lab.networks.ensure_network(spec, soon())
        return spec.uuid in docker_lab.networks.list_networks(soon())

    remove_by_hand()
    assert not there()
    engine.doubt()
    assert there()
    remove_by_hand()
    docker_lab.networks.forget(spec.uuid)
    assert there()


@pytest.mark.engine
def test_networks_of_another_host_record_are_not_listed(docker_lab: Lab) -> None:
    docker_lab.network(39)
    assert docker_lab.engine is not None
    assert list(DockerNetworks(docker_lab.engine, owner="another").list_networks(soon())) == []
