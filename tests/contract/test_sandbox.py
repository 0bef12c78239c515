"""Containers in the namespaces of a sandbox: the contract (`CanShare`) on the fake and on the real engine."""

from __future__ import annotations

import pytest
from tests.support.lab import PATIENCE, Lab, soon

from zun.drivers import errors
from zun.drivers.docker.sandbox import NAME, TAG, SandboxImage, program
from zun.drivers.fake import FakeRuntime
from zun.drivers.runtime import Attachment, CanShare
from zun.model import names
from zun.model.image import is_committed
from zun.model.lifecycle import Observed


def sandbox(lab: Lab, *attachments: Attachment, start: bool = True) -> str:
    """A sandbox."""
    image = lab.runtime.sandbox_image(soon())
    make = lab.running if start else lab.created
    return make(None, image=image, is_sandbox=True, attachments=attachments)


def inside(lab: Lab, uuid: str, script: str) -> str:
    result = lab.runtime.execute(uuid, ["sh", "-c", script], 10_000, soon())
    assert result.exit_code == 0, result.output
    return result.output.decode().strip()


def test_the_runtime_can_share(lab: Lab) -> None:
    assert isinstance(lab.runtime, CanShare)


def test_a_sandbox_waits_until_it_is_removed(lab: Lab) -> None:
    box = sandbox(lab)
    assert lab.look(box).observed is Observed.RUNNING
    with pytest.raises(errors.Conflict):
        lab.runtime.remove(box, soon(), force=False)
    lab.runtime.remove(box, soon(), force=True)
    assert lab.look(box).observed is Observed.MISSING


def test_the_image_is_made_once(lab: Lab) -> None:
    assert lab.runtime.sandbox_image(soon()) == lab.runtime.sandbox_image(soon())


def test_containers_join_it_and_end_without_it(lab: Lab) -> None:
    net = lab.network(21)
    box = sandbox(lab, *lab.attachments((net, 5)))
    one = lab.running(sandbox=box)
    done = lab.ended(["true"], sandbox=box)
    assert (done.exit_code, lab.look(one).observed) == (0, Observed.RUNNING)
    assert (lab.look(one).addresses, done.addresses) == ({}, {})
    assert lab.look(box).addresses == {names.network_name(net.uuid): ("10.213.21.5",)}
    lab.runtime.remove(one, soon(), force=True)
    assert lab.look(box).observed is Observed.RUNNING


def test_no_sandbox_no_container(lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        lab.runtime.create(lab.plan(sandbox=names.new_uuid()), soon())
    assert not lab.runtime.list(lab.host, soon())


def test_a_sandbox_that_does_not_run_can_not_be_joined(lab: Lab) -> None:
    box = sandbox(lab, start=False)
    one = lab.created(sandbox=box)
    with pytest.raises(errors.Conflict):
        lab.runtime.start(one, soon())
    lab.runtime.start(box, soon())
    lab.runtime.start(one, soon())
    assert lab.look(one).observed is Observed.RUNNING


def test_a_sandbox_that_is_gone_can_not_be_joined(lab: Lab) -> None:
    box = sandbox(lab)
    one = lab.created(sandbox=box)
    lab.runtime.remove(box, soon(), force=True)
    with pytest.raises((errors.NotFound, errors.Conflict)):
        lab.runtime.start(one, soon())


# -- what the engine makes of it --------------------------------------------------------------------------------------


@pytest.mark.engine
def test_its_containers_talk_over_localhost_and_have_its_address(docker_lab: Lab) -> None:
    box = sandbox(docker_lab, *docker_lab.attachments((docker_lab.network(22), 7)))
    # It answers once; the other asks until it is there.
    server = docker_lab.running(
        ["sh", "-c", "echo hello from the other | nc -l -p 8080"], sandbox=box
    )
    client = docker_lab.running(sandbox=box)
    ask = f"n=0; until nc 127.0.0.1 8080; do n=$((n+1)); [ $n -lt {PATIENCE:.0f} ] || exit 1; sleep 1; done"
    assert inside(docker_lab, client, ask) == "hello from the other"
    assert "10.213.22.7/" in inside(docker_lab, client, "ip addr show eth0")
    assert docker_lab.until(server, Observed.EXITED).exit_code == 0


@pytest.mark.engine
def test_its_containers_share_memory_and_no_others_do(docker_lab: Lab) -> None:
    box = sandbox(docker_lab)
    one, two = docker_lab.running(sandbox=box), docker_lab.running(sandbox=box)
    other = docker_lab.running()
    inside(docker_lab, one, "echo shared > /dev/shm/note")
    assert inside(docker_lab, two, "cat /dev/shm/note") == "shared"
    assert inside(docker_lab, other, "ls /dev/shm") == ""
    ipc = [inside(docker_lab, uuid, "readlink /proc/self/ns/ipc") for uuid in (one, two, other)]
    assert ipc[0] == ipc[1] != ipc[2]


@pytest.mark.engine
def test_it_holds_nothing_but_a_program_without_rights(docker_lab: Lab) -> None:
    box = sandbox(docker_lab)
    assert docker_lab.runtime.execute(box, ["sh"], 1000, soon()).exit_code in (126, 127)
    assert docker_lab.raw(box)["Config"]["User"] == "65534:65534"


@pytest.mark.engine
def test_the_image_comes_back_when_somebody_removed_it(docker_lab: Lab) -> None:
    assert docker_lab.engine is not None
    image = SandboxImage(docker_lab.engine)
    first = image.ensure(soon())
    with docker_lab.engine.call("look") as client:
        assert client.inspect_image(f"{NAME}:{TAG}")["Id"] == first
        assert client.inspect_image(first)["Size"] < 1000


def test_no_user_can_name_its_image() -> None:
    assert is_committed("", NAME)


def test_the_program_is_for_the_machines_we_know() -> None:
    assert len(program("x86_64")) < 256 > len(program("aarch64"))
    with pytest.raises(errors.Unsupported, match="sandbox_image"):
        program("vax")


def test_the_fake_tells_what_joined(fake_lab: Lab) -> None:
    assert isinstance(fake_lab.runtime, FakeRuntime)
    box = sandbox(fake_lab)
    one = fake_lab.created(sandbox=box)
    assert fake_lab.runtime.plan_of(one).sandbox == box
    assert fake_lab.runtime.plan_of(box).is_sandbox
