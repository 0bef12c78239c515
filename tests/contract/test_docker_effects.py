"""What a plan's settings really do to a container of the engine, seen from inside."""

from __future__ import annotations

import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.lab import PATIENCE, Lab, soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerRuntime, Engine
from zun.drivers.docker import plan as plans
from zun.drivers.runtime import Attachment, FileMount, HealthCheck, LogRequest
from zun.model import names
from zun.model.lifecycle import Observed

pytestmark = pytest.mark.engine


def inside(lab: Lab, uuid: str, script: str) -> str:
    """What a shell script run in the container prints."""
    result = lab.runtime.execute(uuid, ["sh", "-c", script], 10_000, soon())
    assert result.exit_code == 0, result.output
    return result.output.decode().strip()


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_cpu_limit_is_a_hard_cap(docker_lab: Lab) -> None:
    uuid = docker_lab.running(cpu=0.5)
    assert docker_lab.raw(uuid)["HostConfig"]["NanoCpus"] == 500_000_000
    v2, v1 = "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_"
    shown = inside(docker_lab, uuid, f"cat {v2} 2>/dev/null || cat {v1}quota_us {v1}period_us")
    quota, period = shown.split()
    assert int(quota) / int(period) == 0.5


def test_cpus_of_its_own_are_all_it_sees(docker_lab: Lab) -> None:
    uuid = docker_lab.running(cpuset=(0,))
    assert docker_lab.raw(uuid)["HostConfig"]["CpusetCpus"] == "0"
    assert inside(docker_lab, uuid, "grep Cpus_allowed_list /proc/self/status").split()[1] == "0"


def test_a_cpu_limit_can_be_a_share(docker_lab: Lab) -> None:
    uuid = docker_lab.created(cpu=2.0, cpu_shares=True)
    config = docker_lab.raw(uuid)["HostConfig"]
    assert (config["CpuShares"], config["NanoCpus"]) == (2048, 0)


def test_a_hog_of_memory_is_killed_and_it_is_seen(docker_lab: Lab) -> None:
    # "tail" keeps the whole last line, and /dev/zero has no end of it.
    facts = docker_lab.ended(["tail", "/dev/zero"], memory=32)
    assert (facts.exit_code, facts.oom_killed) == (137, True)
    config = docker_lab.raw(facts.uuid)["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == 32 * 1024 * 1024


def test_a_fork_bomb_is_bounded(docker_lab: Lab) -> None:
    uuid = docker_lab.running(pids_limit=20)
    bomb = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done"
    result = docker_lab.runtime.execute(uuid, ["sh", "-c", bomb], 10_000, soon())
    assert result.exit_code != 0
    assert b"fork" in result.output
    # Seen from outside: inside no further process can be made.
    assert docker_lab.engine is not None
    with docker_lab.engine.call("top") as client:
        top = client.top(names.runtime_name(uuid))
    assert len(top["Processes"]) <= 20


def test_a_limit_out_of_range_is_rejected(docker_lab: Lab) -> None:
    for changes in ({"memory": 1}, {"cpu": 100_000.0}):
        with pytest.raises(errors.Rejected):
            docker_lab.runtime.create(docker_lab.plan(**changes), soon())


# -- privileges ------------------------------------------------------------------------------------------------------


def test_new_privileges_are_barred(docker_lab: Lab) -> None:
    barred, free = docker_lab.running(), docker_lab.running(no_new_privileges=False)
    read = "grep NoNewPrivs /proc/self/status"
    assert inside(docker_lab, barred, read).split() == ["NoNewPrivs:", "1"]
    assert inside(docker_lab, free, read).split() == ["NoNewPrivs:", "0"]


def test_privileged_is_told_to_the_engine(docker_lab: Lab) -> None:
    """Not started: a host that is itself a guest may lack the capabilities to give."""
    config = docker_lab.raw(docker_lab.created(privileged=True))["HostConfig"]
    assert config["Privileged"] is True
    assert "no-new-privileges" not in (config["SecurityOpt"] or [])
    assert docker_lab.raw(docker_lab.created())["HostConfig"]["Privileged"] is False


# -- the process -----------------------------------------------------------------------------------------------------


def test_the_process_gets_what_the_plan_says(docker_lab: Lab) -> None:
    uuid = docker_lab.running(
        environment={"GREETING": "a=b c", "EMPTY": ""},
        workdir="/tmp",
        hostname="my-host",
        labels={"mine": "yes"},
    )
    assert inside(docker_lab, uuid, "echo $GREETING; pwd; hostname") == "a=b c\n/tmp\nmy-host"
    assert "EMPTY=" in inside(docker_lab, uuid, "env").splitlines()
    labels = docker_lab.raw(uuid)["Config"]["Labels"]
    assert labels["mine"] == "yes"
    assert labels[names.LABEL_UUID] == uuid
    assert labels[names.LABEL_HOST] == docker_lab.host
    assert labels[names.LABEL_PROJECT] == docker_lab.project
    assert docker_lab.look(uuid).hostname == "my-host"


def test_entrypoint_and_command_of_the_image_hold_unless_given(docker_lab: Lab) -> None:
    assert docker_lab.look(docker_lab.created(None)).command == ("sh",)
    assert docker_lab.look(docker_lab.created([])).command == ("sh",)
    uuid = docker_lab.created(["b"], entrypoint=["echo", "a"])
    facts = docker_lab.look(uuid)
    assert (facts.entrypoint, facts.command) == (("echo", "a"), ("b",))


def test_a_terminal_makes_one_stream(docker_lab: Lab) -> None:
    facts = docker_lab.ended(["sh", "-c", "test -t 1 && echo terminal"], tty=True, interactive=True)
    assert docker_lab.runtime.logs(facts.uuid, LogRequest(), 1000, soon()) == b"terminal\r\n"


def test_a_file_is_mounted(docker_lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "0"
    source.write_bytes(b"\x00binary\xff\n")
    uuid = docker_lab.running(
        mounts=(
            FileMount(source=str(source), destination="/etc/deep/er/file"),
            FileMount(source=str(source), destination="/locked", read_only=True),
        )
    )
    result = docker_lab.runtime.execute(uuid, ["cat", "/etc/deep/er/file"], 100, soon())
    assert result.output == b"\x00binary\xff\n"
    assert docker_lab.runtime.execute(uuid, ["sh", "-c", "echo x > /locked"], 100, soon()).exit_code


def test_a_mount_whose_source_is_gone_is_rejected_without_naming_it(docker_lab: Lab) -> None:
    mount = FileMount(source="/var/lib/secret-place/0", destination="/etc/x")
    with pytest.raises(errors.Rejected) as e:
        docker_lab.runtime.create(docker_lab.plan(mounts=(mount,)), soon())
    assert "secret-place" not in e.value.public


def test_a_bad_hostname_is_rejected_at_start(docker_lab: Lab) -> None:
    uuid = docker_lab.created(hostname="a" * 100)
    with pytest.raises(errors.Rejected, match="sethostname"):
        docker_lab.runtime.start(uuid, soon())


def test_an_image_that_is_not_there_is_not_found(docker_lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        docker_lab.runtime.create(docker_lab.plan(image="sha256:" + "0" * 64), soon())


# -- life ------------------------------------------------------------------------------------------------------------


def test_a_restart_policy_brings_it_back(docker_lab: Lab) -> None:
    _ = docker_lab.watcher
    uuid = docker_lab.running(restart_policy="always")
    first = docker_lab.look(uuid).started_at
    # By the kernel: a kill through the engine would count as somebody's wish.
    os.kill(docker_lab.raw(uuid)["State"]["Pid"], signal.SIGKILL)

    def back() -> bool:
        facts = docker_lab.look(uuid)
        return facts.observed is Observed.RUNNING and facts.started_at != first

    docker_lab.watcher.until(back)
    docker_lab.runtime.stop(uuid, 0, soon())
    assert docker_lab.look(uuid).observed is Observed.EXITED


def test_retries_on_failure_end(docker_lab: Lab) -> None:
    _ = docker_lab.watcher
    uuid = docker_lab.running(["false"], restart_policy="on-failure", restart_retries=1)
    docker_lab.watcher.until(
        lambda: (
            docker_lab.look(uuid).observed is Observed.EXITED
            and docker_lab.raw(uuid)["RestartCount"] == 1
        )
    )
    assert docker_lab.look(uuid).exit_code == 1


def test_health_is_told_as_it_changes(docker_lab: Lab) -> None:
    check = HealthCheck(test="test ! -e /tmp/sick", interval=1, timeout=5, retries=1)
    _ = docker_lab.watcher
    uuid = docker_lab.running(healthcheck=check)
    docker_lab.watcher.until(lambda: docker_lab.look(uuid).health == "healthy")
    docker_lab.runtime.execute(uuid, ["touch", "/tmp/sick"], 10, soon())
    docker_lab.watcher.until(lambda: docker_lab.look(uuid).health == "unhealthy")


def test_a_stop_lets_the_process_end_by_itself(docker_lab: Lab) -> None:
    script = "trap 'exit 5' TERM; touch /tmp/ready; while :; do sleep 0.05; done"
    uuid = docker_lab.running(["sh", "-c", script])
    inside(docker_lab, uuid, "until test -e /tmp/ready; do sleep 0.05; done")
    docker_lab.runtime.stop(uuid, 30, soon())
    assert docker_lab.look(uuid).exit_code == 5


def test_a_stop_longer_than_the_engine_s_timeout_is_waited_for(
    busybox: str, docker_lab: Lab
) -> None:
    """The read time-out of the call grows with the grace: sleep as process 1 takes no TERM."""
    impatient = Engine(timeout=0.5)
    try:
        uuid = docker_lab.running()
        DockerRuntime(impatient).stop(uuid, 1, soon())
        assert docker_lab.look(uuid).observed is Observed.EXITED
    finally:
        impatient.close()


def test_removal_takes_the_anonymous_volumes_along(docker_lab: Lab) -> None:
    assert docker_lab.engine is not None
    with docker_lab.engine.call("make an image with a volume") as client:
        base = client.create_container(docker_lab.image, "true")["Id"]
        name = f"zun-test/{names.new_uuid()}"
        client.commit(base, name, changes=["VOLUME /data"])
        client.remove_container(base)
    try:
        uuid = docker_lab.created(image=name)
        (mount,) = docker_lab.raw(uuid)["Mounts"]
        docker_lab.runtime.remove(uuid, soon(), force=False)
        with docker_lab.engine.call("list") as client:
            volumes = client.volumes()["Volumes"] or []
        assert mount["Name"] not in [v["Name"] for v in volumes]
    finally:
        with docker_lab.engine.call("clean up") as client:
            client.remove_image(name)


def test_a_container_of_an_older_service_is_found_by_its_name(docker_lab: Lab) -> None:
    """One made without our labels, as upstream's; a create takes its place once it is down."""
    assert docker_lab.engine is not None
    plan = docker_lab.plan()
    with docker_lab.engine.call("make it") as client:
        body = {"Image": docker_lab.image, "Cmd": ["true"]}
        old = client.create_container_from_config(body, name=names.runtime_name(plan.uuid))
    facts = docker_lab.look(plan.uuid)
    assert (facts.observed, facts.generation, facts.runtime_id) == (
        Observed.CREATED,
        None,
        old["Id"],
    )
    assert docker_lab.runtime.create(plan, soon()).runtime_id != old["Id"]


# -- commands in a container -----------------------------------------------------------------------------------------


def test_a_command_s_output_is_whole_and_binary(docker_lab: Lab) -> None:
    uuid = docker_lab.running()
    result = docker_lab.runtime.execute(
        uuid, ["head", "-c", "300000", "/bin/busybox"], 10**6, soon()
    )
    assert result.output == Path("/bin/busybox").read_bytes()[:300_000]


def test_a_command_with_more_output_than_wanted_still_ends(docker_lab: Lab) -> None:
    uuid = docker_lab.running()
    script = "head -c 5000000 /dev/zero; exit 9"
    result = docker_lab.runtime.execute(uuid, ["sh", "-c", script], 1000, soon())
    assert (result.exit_code, len(result.output)) == (9, 1000)


@pytest.mark.parametrize("script", ["sleep 4999", "sleep 4999; true", "while :; do echo x; done"])
def test_a_command_past_its_deadline_is_killed_with_its_children(
    docker_lab: Lab, script: str
) -> None:
    uuid = docker_lab.running()
    with pytest.raises(errors.TimedOut):
        docker_lab.runtime.execute(uuid, ["sh", "-c", script], 10, Deadline(0.7))
    assert re.findall("4999|while", inside(docker_lab, uuid, "ps | grep -v grep")) == []
    assert docker_lab.look(uuid).observed is Observed.RUNNING


def test_commands_run_in_parallel(docker_lab: Lab) -> None:
    uuid = docker_lab.running()
    outputs: dict[int, bytes] = {}

    def run(number: int) -> None:
        outputs[number] = docker_lab.runtime.execute(
            uuid, ["echo", str(number)], 100, soon()
        ).output

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert outputs == {n: f"{n}\n".encode() for n in range(8)}


def test_a_long_log_is_cut_at_its_beginning(docker_lab: Lab) -> None:
    uuid = docker_lab.ended(["seq", "1", "20000"]).uuid
    whole = docker_lab.runtime.logs(uuid, LogRequest(), 10**6, soon())
    assert whole == b"".join(b"%d\n" % n for n in range(1, 20001))
    assert docker_lab.runtime.logs(uuid, LogRequest(), 777, soon()) == whole[-777:]


# -- networks --------------------------------------------------------------------------------------------------------


def reaches(lab: Lab, uuid: str, address: str) -> bool:
    """Whether a TCP connection to port 80 of `address` comes about within two seconds."""
    command = ["sh", "-c", f"nc -w 2 {address} 80 </dev/null"]
    return lab.runtime.execute(uuid, command, 1000, soon()).exit_code == 0


def test_networks_are_isolated_from_one_another(docker_lab: Lab) -> None:
    one, two = docker_lab.network(11), docker_lab.network(12)
    serve = ["httpd", "-f", "-p", "80", "-h", "/etc"]
    server = docker_lab.running(serve, attachments=docker_lab.attachments((one, 10)))
    inside(docker_lab, server, "until netstat -ltn | grep -q :80; do sleep 0.05; done")
    friend = docker_lab.running(attachments=docker_lab.attachments((one, 11)))
    stranger = docker_lab.running(attachments=docker_lab.attachments((two, 10)))
    assert docker_lab.look(server).addresses[names.network_name(one.uuid)] == ("10.213.11.10",)
    assert reaches(docker_lab, friend, "10.213.11.10")
    assert not reaches(docker_lab, stranger, "10.213.11.10")
    ping = ["ping", "-c", "1", "-W", "2", "10.213.11.10"]
    assert docker_lab.runtime.execute(friend, ping, 1000, soon()).exit_code == 0
    assert docker_lab.runtime.execute(stranger, ping, 1000, soon()).exit_code != 0


def test_no_attachment_means_no_network(docker_lab: Lab) -> None:
    uuid = docker_lab.running()
    assert docker_lab.look(uuid).addresses == {}
    assert inside(docker_lab, uuid, "ls /sys/class/net") == "lo"


def test_an_address_that_is_taken_conflicts(docker_lab: Lab) -> None:
    network = docker_lab.network(13)
    docker_lab.running(attachments=docker_lab.attachments((network, 5)))
    second = docker_lab.created(attachments=docker_lab.attachments((network, 5)))
    with pytest.raises(errors.Conflict):
        docker_lab.runtime.start(second, soon())


def test_an_adopted_container_gets_the_network_it_lacks(docker_lab: Lab) -> None:
    """As after a crash between the create call and the connect call."""
    one, two = docker_lab.network(14), docker_lab.network(15)
    plan = docker_lab.plan(attachments=docker_lab.attachments((one, 5), (two, 5)))
    docker_lab.runtime.create(replace(plan, attachments=plan.attachments[:1]), soon())
    facts = docker_lab.runtime.create(plan, soon())
    assert set(facts.addresses) == {names.network_name(n.uuid) for n in (one, two)}


def test_what_an_engine_that_died_had_made_by_half_is_made_anew(docker_lab: Lab) -> None:
    """It writes down what a container is before it writes down which addresses it has."""
    plan = docker_lab.plan(attachments=docker_lab.attachments((docker_lab.network(18), 5)))
    body = plans.body(plan)
    del body["NetworkingConfig"]
    assert docker_lab.engine is not None
    with docker_lab.engine.call("make") as client:
        half = client.create_container_from_config(body, name=names.runtime_name(plan.uuid))
    docker_lab.runtime.create(plan, soon())
    raw = docker_lab.raw(plan.uuid)
    assert raw["Id"] != half["Id"]
    [network] = raw["NetworkSettings"]["Networks"].values()
    assert network["IPAMConfig"]["IPv4Address"] == plan.attachments[0].address_v4
    docker_lab.runtime.create(plan, soon())
    assert docker_lab.raw(plan.uuid)["Id"] == raw["Id"], "what is whole stays"


def test_a_second_network_that_is_not_there_is_not_found(docker_lab: Lab) -> None:
    epoch = docker_lab.engine.epoch if docker_lab.engine else 0
    one = docker_lab.network(16)
    nowhere = Attachment(network=f"zun-{names.new_uuid()}", address_v4="10.213.99.5")
    plan = docker_lab.plan(attachments=(*docker_lab.attachments((one, 5)), nowhere))
    with pytest.raises(errors.NotFound):
        docker_lab.runtime.create(plan, soon())
        docker_lab.runtime.start(plan.uuid, soon())  # where old engines notice
    assert docker_lab.engine is not None and docker_lab.engine.epoch > epoch


def test_a_network_removed_by_hand_is_made_again_after_a_start_that_missed_it(
    docker_lab: Lab,
) -> None:
    spec = docker_lab.network(17)
    uuid = docker_lab.created(attachments=docker_lab.attachments((spec, 5)))
    assert docker_lab.engine is not None
    with docker_lab.engine.call("remove it by hand") as client:
        client.remove_network(names.network_name(spec.uuid))
    with pytest.raises(errors.NotFound):
        docker_lab.runtime.start(uuid, soon())
    docker_lab.networks.ensure_network(spec, soon())
    docker_lab.runtime.start(uuid, soon())
    assert docker_lab.look(uuid).observed is Observed.RUNNING


def test_defect_16_one_whose_network_is_gone_is_removed(docker_lab: Lab) -> None:
    """Somebody took it off its network, and the network away."""
    network = docker_lab.network(14)
    uuid = docker_lab.running(attachments=docker_lab.attachments((network, 5)))
    assert docker_lab.engine is not None
    name = names.network_name(network.uuid)
    with docker_lab.engine.call("take the network away") as client:
        client.disconnect_container_from_network(names.runtime_name(uuid), name)
        client.remove_network(name)
    docker_lab.runtime.stop(uuid, 0, soon())
    docker_lab.runtime.remove(uuid, soon(), force=False)
    assert docker_lab.look(uuid).observed is Observed.MISSING
