"""The contract of a runtime, on the fake and on the real engine."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.support.lab import FOREVER, PATIENCE, Lab, soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake import FakeRuntime
from zun.drivers.runtime import HealthCheck, Hint, LogRequest
from zun.model import names
from zun.model.lifecycle import Observed

# -- create ----------------------------------------------------------------------------------------------------------


def test_create_makes_a_container_that_has_not_run(lab: Lab) -> None:
    plan = lab.plan(exposed_ports=("80/tcp", "53/udp"), entrypoint=["env"])
    facts = lab.runtime.create(plan, soon())
    assert facts.uuid == plan.uuid
    assert facts.observed is Observed.CREATED
    assert facts.generation == plan.generation
    assert facts.runtime_id
    assert facts.hostname == facts.runtime_id[:12]
    assert (facts.exit_code, facts.started_at, facts.finished_at, facts.error) == (None,) * 4
    assert facts.ports == (53, 80)
    assert facts.command == tuple(FOREVER)
    assert facts.entrypoint == ("env",)
    assert lab.look(plan.uuid) == facts


def test_create_again_with_the_same_generation_adopts(lab: Lab) -> None:
    plan = lab.plan()
    first = lab.runtime.create(plan, soon())
    assert lab.runtime.create(plan, soon()).runtime_id == first.runtime_id
    lab.runtime.start(plan.uuid, soon())
    again = lab.runtime.create(plan, soon())
    assert (again.runtime_id, again.observed) == (first.runtime_id, Observed.RUNNING)


def test_create_with_another_generation_replaces_one_that_does_not_run(lab: Lab) -> None:
    plan = lab.plan()
    first = lab.runtime.create(plan, soon())
    newer = replace(plan, generation=names.new_uuid())
    second = lab.runtime.create(newer, soon())
    assert second.runtime_id != first.runtime_id
    assert second.generation == newer.generation
    assert [f.runtime_id for f in lab.runtime.list(lab.host, soon())] == [second.runtime_id]


def test_create_with_another_generation_leaves_one_that_runs(lab: Lab) -> None:
    plan = lab.plan()
    lab.runtime.create(plan, soon())
    lab.runtime.start(plan.uuid, soon())
    before = lab.look(plan.uuid)
    with pytest.raises(errors.Conflict):
        lab.runtime.create(replace(plan, generation="newer"), soon())
    assert lab.look(plan.uuid) == before


def test_create_in_parallel_makes_one(lab: Lab) -> None:
    plan = lab.plan()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: lab.runtime.create(plan, soon()), range(4)))
    assert len({f.runtime_id for f in made}) == 1


@pytest.mark.parametrize("key", [names.LABEL_UUID, names.LABEL_HOST, "org.openstack.zun.new"])
def test_create_refuses_labels_that_look_like_ours(lab: Lab, key: str) -> None:
    with pytest.raises(errors.Rejected) as e:
        lab.runtime.create(lab.plan(labels={"mine": "ok", key: "x"}), soon())
    assert "org.openstack.zun." in e.value.public
    assert not lab.runtime.list(lab.host, soon())


def test_create_refuses_a_runtime_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(errors.Rejected) as refused:
        lab.runtime.create(lab.plan(runtime="nosuch"), soon())
    assert refused.value.elsewhere, "another host may have it"


def test_create_refuses_a_disk_limit_the_host_cannot_set(lab: Lab) -> None:
    if lab.runtime.capabilities().disk_quota:
        lab.runtime.create(lab.plan(disk=1), soon())
    else:
        with pytest.raises(errors.Unsupported, match="disk"):
            lab.runtime.create(lab.plan(disk=1), soon())


def test_create_past_the_deadline_does_nothing(lab: Lab) -> None:
    with pytest.raises(errors.TimedOut):
        lab.runtime.create(lab.plan(), Deadline(0))
    assert not lab.runtime.list(lab.host, soon())


def test_create_shows_the_addresses_asked_for(lab: Lab) -> None:
    one, two = lab.network(1), lab.network(2)
    plan = lab.plan(attachments=lab.attachments((one, 5), (two, 6)))
    expected = {
        names.network_name(one.uuid): ("10.213.1.5",),
        names.network_name(two.uuid): ("10.213.2.6",),
    }
    assert lab.runtime.create(plan, soon()).addresses == expected
    assert lab.runtime.create(plan, soon()).addresses == expected
    lab.runtime.start(plan.uuid, soon())
    assert lab.look(plan.uuid).addresses == expected
    lab.runtime.stop(plan.uuid, 0, soon())
    assert lab.look(plan.uuid).addresses == expected


# -- start -----------------------------------------------------------------------------------------------------------


def test_start_of_nothing_is_not_found(lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        lab.runtime.start(names.new_uuid(), soon())


def test_start_twice_succeeds(lab: Lab) -> None:
    uuid = lab.created()
    lab.runtime.start(uuid, soon())
    first = lab.look(uuid)
    lab.runtime.start(uuid, soon())
    assert first.observed is Observed.RUNNING
    assert first.started_at is not None
    assert first.exit_code is None
    assert lab.look(uuid) == first


@pytest.mark.parametrize("command", [["/no/such/program"], ["nosuch"]])
def test_start_of_a_bad_command_is_rejected_and_says_why(lab: Lab, command: list[str]) -> None:
    uuid = lab.created(command)
    with pytest.raises(errors.Rejected) as e:
        lab.runtime.start(uuid, soon())
    assert f'"{command[0]}"' in e.value.public
    assert not e.value.retryable
    facts = lab.look(uuid)
    assert facts.observed is Observed.CREATED
    assert (facts.started_at, facts.exit_code) == (None, None)
    assert facts.error is not None and command[0] in facts.error


def test_start_of_a_paused_one_conflicts(lab: Lab) -> None:
    uuid = lab.running()
    lab.runtime.pause(uuid, soon())
    with pytest.raises(errors.Conflict):
        lab.runtime.start(uuid, soon())


def test_start_without_its_network_is_not_found(lab: Lab) -> None:
    spec = lab.network(3)
    uuid = lab.created(attachments=lab.attachments((spec, 5)))
    lab.networks.remove_network(spec.uuid, soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.start(uuid, soon())


def test_a_command_that_ends_leaves_its_exit_code(lab: Lab) -> None:
    facts = lab.ended(["sh", "-c", "exit 3"])
    assert facts.exit_code == 3
    assert not facts.oom_killed
    assert facts.started_at is not None and facts.finished_at is not None
    assert facts.started_at.tzinfo is None


def test_an_ended_one_starts_again(lab: Lab) -> None:
    facts = lab.ended(["sh", "-c", "echo hello; exit 0"])
    lab.runtime.start(facts.uuid, soon())
    assert lab.until(facts.uuid, Observed.EXITED).runtime_id == facts.runtime_id


# -- stop, remove ----------------------------------------------------------------------------------------------------


def test_stop_ends_it_and_is_content_if_it_has_ended(lab: Lab) -> None:
    uuid = lab.running()
    lab.runtime.stop(uuid, 0, soon())
    facts = lab.look(uuid)
    assert (facts.observed, facts.exit_code) == (Observed.EXITED, 137)
    lab.runtime.stop(uuid, None, soon())
    lab.runtime.stop(lab.created(), 1, soon())
    lab.runtime.stop(names.new_uuid(), 1, soon())
    assert lab.look(uuid) == facts


def test_remove_of_a_running_one_needs_force(lab: Lab) -> None:
    uuid = lab.running()
    with pytest.raises(errors.Conflict):
        lab.runtime.remove(uuid, soon(), force=False)
    assert lab.look(uuid).observed is Observed.RUNNING
    lab.runtime.remove(uuid, soon(), force=True)
    assert lab.look(uuid).observed is Observed.MISSING


def test_remove_is_content_if_there_is_none(lab: Lab) -> None:
    uuid = lab.created()
    lab.runtime.remove(uuid, soon(), force=False)
    for force in (False, True):
        lab.runtime.remove(uuid, soon(), force=force)


def test_what_is_movable_is_known_by_the_engine(lab: Lab) -> None:
    stays, moves = lab.plan(), lab.plan(movable=True)
    for plan in (stays, moves):
        assert lab.runtime.create(plan, soon()).movable is plan.movable
    listed = {facts.uuid: facts.movable for facts in lab.runtime.list(lab.host, soon())}
    assert listed == {stays.uuid: False, moves.uuid: True}


def test_a_replaced_one_is_absent_to_who_means_it(lab: Lab) -> None:
    plan = lab.plan()
    old = lab.runtime.create(plan, soon()).runtime_id
    new = lab.runtime.create(replace(plan, generation=names.new_uuid()), soon()).runtime_id
    assert old != new
    with pytest.raises(errors.NotFound):
        lab.runtime.start(plan.uuid, soon(), runtime_id=old)
    assert lab.look(plan.uuid).observed is Observed.CREATED
    lab.runtime.start(plan.uuid, soon(), runtime_id=new)
    lab.runtime.stop(plan.uuid, 0, soon(), runtime_id=old)
    for force in (False, True):
        lab.runtime.remove(plan.uuid, soon(), force=force, runtime_id=old)
    left = lab.look(plan.uuid)
    assert (left.runtime_id, left.observed) == (new, Observed.RUNNING)
    lab.runtime.stop(plan.uuid, 0, soon(), runtime_id=new)
    assert lab.look(plan.uuid).observed is Observed.EXITED
    lab.runtime.remove(plan.uuid, soon(), force=False, runtime_id=new)
    assert lab.look(plan.uuid).observed is Observed.MISSING


def test_remove_in_parallel_succeeds_for_all_once_it_is_gone(lab: Lab) -> None:
    uuid = lab.running()
    gone: list[bool] = []

    def remove() -> None:
        lab.runtime.remove(uuid, soon(), force=True)
        gone.append(lab.look(uuid).observed is Observed.MISSING)

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert gone == [True] * 4


# -- look ------------------------------------------------------------------------------------------------------------


def test_inspect_of_nothing_says_missing(lab: Lab) -> None:
    uuid = names.new_uuid()
    facts = lab.look(uuid)
    assert (facts.uuid, facts.observed, facts.runtime_id) == (uuid, Observed.MISSING, None)


def test_list_has_this_host_s_in_every_state(lab: Lab) -> None:
    created, running, paused = lab.created(), lab.running(), lab.running()
    lab.runtime.pause(paused, soon())
    ended = lab.ended(["true"]).uuid
    elsewhere = lab.created(host=f"{lab.host}-other")
    try:
        seen = {f.uuid: f for f in lab.runtime.list(lab.host, soon())}
    finally:
        lab.runtime.remove(elsewhere, soon(), force=True)
    assert {uuid: f.observed for uuid, f in seen.items()} == {
        created: Observed.CREATED,
        running: Observed.RUNNING,
        paused: Observed.PAUSED,
        ended: Observed.EXITED,
    }
    for uuid, facts in seen.items():
        whole = lab.look(uuid)
        assert (facts.generation, facts.runtime_id) == (whole.generation, whole.runtime_id)


def test_what_is_left_out_is_listed_again_and_nothing_else_changes(lab: Lab) -> None:
    running, paused = lab.running(), lab.running()
    lab.runtime.pause(paused, soon())
    before = {uuid: lab.look(uuid) for uuid in (running, paused)}
    if isinstance(lab.runtime, FakeRuntime):  # an engine's disk has to be full for that
        lab.runtime.leave_out(running)
        assert [f.uuid for f in lab.runtime.list(lab.host, soon())] == [paused]
    for uuid in (running, paused, running):
        lab.runtime.relist(uuid, soon())
    assert {f.uuid for f in lab.runtime.list(lab.host, soon())} == {running, paused}
    assert {uuid: lab.look(uuid) for uuid in (running, paused)} == before
    lab.runtime.relist(names.new_uuid(), soon())  # there is none
    if isinstance(lab.runtime, FakeRuntime):
        lab.runtime.leave_out(running)
    lab.runtime.remove(running, soon(), force=True, runtime_id=before[running].runtime_id)
    assert lab.look(running).observed is Observed.MISSING


def test_a_death_behind_our_back_is_told_and_seen(lab: Lab) -> None:
    _ = lab.watcher
    uuid = lab.running()
    lab.kill_behind(uuid)
    assert lab.until(uuid, Observed.EXITED).exit_code == 137
    lab.watcher.until(lambda: Hint(uuid=uuid) in lab.watcher.hints)


def test_a_removal_behind_our_back_is_told_and_seen(lab: Lab) -> None:
    _ = lab.watcher
    uuid = lab.running()
    lab.vanish(uuid)
    lab.until(uuid, Observed.MISSING)


def test_the_first_hint_says_look_at_all(lab: Lab) -> None:
    assert lab.watcher.hints[0] == Hint(uuid=None, gap=True)


def test_close_ends_a_blocked_reader_of_events(lab: Lab) -> None:
    watcher = lab.watcher
    lab.runtime.close()
    watcher.thread.join(PATIENCE)
    assert not watcher.thread.is_alive()


def test_events_after_close_end_at_once(lab: Lab) -> None:
    lab.runtime.close()
    assert [h for h in lab.runtime.events() if not h.gap] == []


def test_commands_run_inside_make_no_hints(lab: Lab) -> None:
    uuid = lab.running()
    watcher = lab.watcher
    before = sum(h.uuid == uuid for h in watcher.hints)
    for _ in range(3):
        lab.runtime.execute(uuid, ["true"], 10, soon())
    lab.runtime.pause(uuid, soon())
    watcher.until(lambda: sum(h.uuid == uuid for h in watcher.hints) > before)
    assert sum(h.uuid == uuid for h in watcher.hints) == before + 1


def test_a_health_check_starts_as_starting(lab: Lab) -> None:
    uuid = lab.running(healthcheck=HealthCheck(test="exit 0", interval=60))
    assert lab.look(uuid).health == "starting"
    assert lab.look(lab.running()).health is None


# -- the host --------------------------------------------------------------------------------------------------------


def test_the_host_s_powers_are_told(lab: Lab) -> None:
    lab.runtime.ping()
    can, has = lab.runtime.capabilities(), lab.runtime.inventory()
    assert can.name and can.version
    assert can.default_runtime in can.runtimes
    assert has.cpus > 0 and has.mem_total > 100 and has.disk_total > 0
    assert has.os_type == "linux"
    assert has.disk_quota_supported == can.disk_quota


# -- pause, signal ---------------------------------------------------------------------------------------------------


def test_pause_and_unpause_are_content_if_it_is_so(lab: Lab) -> None:
    uuid = lab.running()
    for _ in range(2):
        lab.runtime.pause(uuid, soon())
        assert lab.look(uuid).observed is Observed.PAUSED
    for _ in range(2):
        lab.runtime.unpause(uuid, soon())
        assert lab.look(uuid).observed is Observed.RUNNING


def test_pause_and_unpause_of_one_that_does_not_run_conflict(lab: Lab) -> None:
    for uuid in (lab.created(), lab.ended(["true"]).uuid):
        for verb in (lab.runtime.pause, lab.runtime.unpause):
            with pytest.raises(errors.Conflict):
                verb(uuid, soon())


def test_pause_and_unpause_of_nothing_are_not_found(lab: Lab) -> None:
    for verb in (lab.runtime.pause, lab.runtime.unpause):
        with pytest.raises(errors.NotFound):
            verb(names.new_uuid(), soon())


def test_a_harmless_signal_leaves_it_running(lab: Lab) -> None:
    uuid = lab.running()
    lab.runtime.signal(uuid, "SIGWINCH", soon())
    assert lab.look(uuid).observed is Observed.RUNNING


@pytest.mark.parametrize("signal", [None, "KILL", "SIGKILL", "9"])
def test_a_kill_returns_once_it_is_down(lab: Lab, signal: str | None) -> None:
    uuid = lab.running()
    lab.runtime.signal(uuid, signal, soon())
    facts = lab.look(uuid)
    assert (facts.observed, facts.exit_code) == (Observed.EXITED, 137)


def test_signals_go_to_running_ones_only(lab: Lab) -> None:
    with pytest.raises(errors.Conflict):
        lab.runtime.signal(lab.created(), "SIGHUP", soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.signal(names.new_uuid(), None, soon())
    with pytest.raises(errors.Rejected):
        lab.runtime.signal(lab.running(), "SIGNONSENSE", soon())


# -- execute ---------------------------------------------------------------------------------------------------------


def test_execute_gives_output_and_exit_code(lab: Lab) -> None:
    uuid = lab.running()
    result = lab.runtime.execute(uuid, ["sh", "-c", "echo one; exit 7"], 1000, soon())
    assert (result.exit_code, result.output) == (7, b"one\n")
    both = lab.runtime.execute(uuid, ["sh", "-c", "echo out; echo err >&2"], 1000, soon())
    assert sorted(both.output.split()) == [b"err", b"out"]


def test_execute_keeps_the_first_bytes(lab: Lab) -> None:
    result = lab.runtime.execute(lab.running(), ["echo", "abcdefgh"], 4, soon())
    assert (result.exit_code, result.output) == (0, b"abcd")


def test_execute_of_a_program_that_is_not_there_is_a_result(lab: Lab) -> None:
    result = lab.runtime.execute(lab.running(), ["nosuch", "x"], 1000, soon())
    assert result.exit_code in (126, 127)
    assert b"nosuch" in result.output


def test_execute_refuses_what_cannot_be(lab: Lab) -> None:
    with pytest.raises(errors.Conflict):
        lab.runtime.execute(lab.created(), ["true"], 10, soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.execute(names.new_uuid(), ["true"], 10, soon())
    with pytest.raises(errors.Rejected):
        lab.runtime.execute(lab.running(), [], 10, soon())


def test_execute_past_the_deadline_is_given_up(lab: Lab) -> None:
    uuid = lab.running()
    with pytest.raises(errors.TimedOut):
        lab.runtime.execute(uuid, ["sleep", "5000"], 10, Deadline(0.5))
    assert lab.look(uuid).observed is Observed.RUNNING


# -- logs ------------------------------------------------------------------------------------------------------------


def test_logs_of_each_stream(lab: Lab) -> None:
    uuid = lab.ended(["sh", "-c", "echo out; echo err >&2; echo out2"]).uuid

    def logs(**changes: bool) -> list[bytes]:
        return sorted(lab.runtime.logs(uuid, LogRequest(**changes), 1000, soon()).splitlines())

    assert logs() == [b"err", b"out", b"out2"]
    assert logs(stderr=False) == [b"out", b"out2"]
    assert logs(stdout=False) == [b"err"]


def test_logs_from_the_end(lab: Lab) -> None:
    uuid = lab.ended(["sh", "-c", "echo one; echo two; echo three"]).uuid

    def logs(limit: int = 1000, tail: int | None = None) -> bytes:
        return lab.runtime.logs(uuid, LogRequest(tail=tail), limit, soon())

    assert logs() == b"one\ntwo\nthree\n"
    assert logs(tail=2) == b"two\nthree\n"
    assert logs(tail=0) == b""
    assert logs(limit=8) == b"o\nthree\n"
    assert logs(limit=0) == b""


def test_logs_with_times(lab: Lab) -> None:
    facts = lab.ended(["sh", "-c", "echo one"])
    whole = lab.runtime.logs(facts.uuid, LogRequest(timestamps=True), 1000, soon())
    assert facts.started_at is not None
    assert whole.startswith(f"{facts.started_at:%Y-%m-%dT}".encode())
    assert whole.endswith(b"Z one\n")


def test_logs_since_then(lab: Lab) -> None:
    uuid = lab.ended(["sh", "-c", "echo one"]).uuid
    assert lab.runtime.logs(uuid, LogRequest(since=1.5), 1000, soon()) == b"one\n"
    assert lab.runtime.logs(uuid, LogRequest(since=4e9), 1000, soon()) == b""


def test_logs_where_there_are_none(lab: Lab) -> None:
    assert lab.runtime.logs(lab.created(), LogRequest(), 1000, soon()) == b""
    with pytest.raises(errors.NotFound):
        lab.runtime.logs(names.new_uuid(), LogRequest(), 1000, soon())
