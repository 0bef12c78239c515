"""The state machine, against a copy of the contract's own tables (API contract 2.3 and 3.2)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zun.model import lifecycle
from zun.model.lifecycle import Action, Observed, Status

# Contract 2.3, cell by cell.
COLUMNS = [
    "Creating", "Created", "Running", "Stopped", "Paused", "Error", "Unknown", "Deleted", "Deleting",
    "Rebuilding", "Dead", "Restarting",
]  # fmt: skip
TABLE = """
start                | .  x  .  x  .  x  .  .  .  .  .  .
stop                 | .  .  x  .  .  .  .  .  .  .  .  .
pause                | .  .  x  .  .  .  .  .  .  .  .  .
kill                 | .  .  x  .  .  .  .  .  .  .  .  .
execute              | .  .  x  .  .  .  .  .  .  .  .  .
execute_resize       | .  .  x  .  .  .  .  .  .  .  .  .
attach               | .  .  x  .  .  .  .  .  .  .  .  .
resize               | .  .  x  .  .  .  .  .  .  .  .  .
top                  | .  .  x  .  .  .  .  .  .  .  .  .
stats                | .  .  x  .  .  .  .  .  .  .  .  .
unpause              | .  .  .  .  x  .  .  .  .  .  .  .
reboot               | .  x  x  x  .  x  .  .  .  .  .  .
rebuild              | .  x  x  x  .  x  .  .  .  .  .  .
update               | .  x  x  x  x  .  .  .  .  .  .  .
resize_container     | .  x  x  x  x  .  .  .  .  .  .  .
add_security_group   | .  x  x  x  x  .  .  .  .  .  .  .
remove_security_group| .  x  x  x  x  .  .  .  .  .  .  .
get_archive          | .  x  x  x  x  .  .  .  .  .  .  .
put_archive          | .  x  x  x  x  .  .  .  .  .  .  .
commit               | .  .  x  x  x  .  .  .  .  .  .  .
logs                 | .  x  x  x  x  x  x  .  .  .  .  .
delete               | .  x  .  x  .  x  .  x  .  .  x  .
delete_stop          | .  x  x  x  .  x  .  x  .  .  x  .
delete_force         | x  x  x  x  .  x  x  x  x  x  x  x
"""
CELLS = [
    (action.strip(), status, mark == "x")
    for action, _, marks in (line.partition("|") for line in TABLE.strip().splitlines())
    for status, mark in zip(COLUMNS, marks.split(), strict=True)
]

# Contract 3.2: what the API says an accepted action is, and the task while it is open.
DURING = {
    "create": "Creating",
    "reboot": "Restarting",
    "rebuild": "Rebuilding",
    "delete": "Deleting",
    "move": "Rebuilding",
    "recreate": "Rebuilding",
}
SETTLED = {
    "create": "Created", "start": "Running", "stop": "Stopped", "reboot": "Running", "pause": "Paused",
    "unpause": "Running", "kill": "Stopped", "rebuild": "Created", "delete": None,
    "move": "Running", "recreate": "Running",
}  # fmt: skip
TASKS = {
    "create": "container_creating", "start": "container_starting", "stop": "container_stopping",
    "reboot": "container_rebooting", "pause": "container_pausing", "unpause": "container_unpausing",
    "kill": "container_killing", "rebuild": "container_rebuilding", "delete": "container_deleting",
    "move": "container_rebuilding", "recreate": "container_rebuilding",
}  # fmt: skip
KEEPING = {  # action -> its task_state: no matter of status
    "update": None, "resize_container": None, "commit": None,
    "network_attach": "network_attaching", "network_detach": "network_detaching",
}  # fmt: skip
ANY_STATUS = {"network_attach", "network_detach"}
OF_IMAGES = {"image_pull", "image_delete"}
OWN = {"move", "recreate"}  # the service's own: no user asks for them
LEFT_ALONE = {"Creating", "Deleting", "Deleted"}
OPERATED = [Action(name) for name in SETTLED]

statuses = st.sampled_from(Status)
observeds = st.sampled_from(Observed)
operated = st.sampled_from(OPERATED)


def test_the_statuses_are_the_contracts() -> None:
    assert [str(s) for s in Status] == COLUMNS


@pytest.mark.parametrize(("action", "status", "allowed"), CELLS)
def test_every_cell_of_the_contracts_table(action: str, status: str, allowed: bool) -> None:
    assert lifecycle.guard(Action(action), Status(status)) is allowed


def test_the_table_speaks_of_every_action_but_create() -> None:
    spoken = {name for name, _, _ in CELLS}
    assert spoken == {str(a) for a in Action} - {"create", *OWN} - ANY_STATUS - OF_IMAGES
    for name in ANY_STATUS:
        assert all(lifecycle.guard(Action(name), status) for status in Status)
    assert len(CELLS) == len(spoken) * len(COLUMNS)


def test_paused_is_never_deletable() -> None:
    for action in (Action.DELETE, Action.DELETE_STOP, Action.DELETE_FORCE):
        assert not lifecycle.guard(action, Status.PAUSED)


def test_transitions_are_those_of_the_actions_with_an_operation() -> None:
    assert set(lifecycle.TRANSITIONS) == set(OPERATED) | {Action(name) for name in KEEPING}


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("status", Status)
def test_what_is_no_matter_of_status_leaves_it_to_the_engine(name: str, status: Status) -> None:
    action = Action(name)
    assert lifecycle.begin(action, status) is status
    assert lifecycle.settle(action, status, None) is status
    seen = lifecycle.observe(status, Observed.EXITED, auto_remove=False)
    assert lifecycle.settle(action, status, Observed.EXITED) is seen
    assert lifecycle.task_state(action, begun=True) == KEEPING[name]


@pytest.mark.parametrize(("action", "status"), [*itertools.product(OPERATED, Status)])
def test_begin_and_settle(action: Action, status: Status) -> None:
    expected = DURING.get(action, status)
    assert lifecycle.begin(action, status) == expected
    assert lifecycle.settle(action, status, None) == SETTLED[action]


@pytest.mark.parametrize("action", OPERATED)
def test_task_state(action: Action) -> None:
    assert lifecycle.task_state(action, begun=True) == TASKS[action]
    assert lifecycle.task_state(None, begun=True) is None
    waiting = lifecycle.task_state(action, begun=False)
    assert waiting == (None if action is Action.CREATE else TASKS[action])


@given(statuses, observeds, st.booleans())
def test_observe_gives_a_status_and_leaves_rows_in_transit_alone(
    recorded: Status, observed: Observed, auto_remove: bool
) -> None:
    status = lifecycle.observe(recorded, observed, auto_remove=auto_remove)
    assert isinstance(status, Status)
    if recorded in LEFT_ALONE:
        assert status is recorded
    # What was seen is now the record: seeing the same again changes nothing.
    assert lifecycle.observe(status, observed, auto_remove=auto_remove) is status


@pytest.mark.parametrize(
    ("recorded", "observed", "auto_remove", "expected"),
    [
        ("Running", "exited", False, "Stopped"),
        ("Running", "removing", False, "Stopped"),
        ("Error", "exited", False, "Stopped"),
        ("Running", "paused", False, "Paused"),
        ("Running", "restarting", False, "Restarting"),
        ("Stopped", "running", False, "Running"),
        ("Error", "running", False, "Running"),
        ("Running", "dead", False, "Dead"),
        ("Created", "created", False, "Created"),
        ("Error", "created", False, "Error"),
        ("Restarting", "created", False, "Restarting"),
        ("Rebuilding", "created", False, "Rebuilding"),
        ("Running", "missing", False, "Error"),
        ("Running", "missing", True, "Deleted"),
    ],
)
def test_what_the_engine_shows_as_the_contract_maps_it(
    recorded: str, observed: str, auto_remove: bool, expected: str
) -> None:
    seen = lifecycle.observe(Status(recorded), Observed(observed), auto_remove=auto_remove)
    assert seen == expected


@given(operated, statuses, st.one_of(st.none(), observeds))
def test_a_failed_operation_never_leaves_a_status_that_only_an_operation_may_change(
    action: Action, before: Status, observed: Observed | None
) -> None:
    status = lifecycle.fail(action, before, observed)
    assert isinstance(status, Status)
    assert status not in LEFT_ALONE
    if before not in {"Restarting", "Rebuilding"} and observed is None:
        assert status in {before, "Error"}


@given(operated.filter(lambda a: a is not Action.DELETE), statuses, observeds)
def test_a_settled_operation_never_leaves_a_status_in_transit(
    action: Action, recorded: Status, observed: Observed
) -> None:
    status = lifecycle.settle(action, recorded, observed)
    assert status is not None
    assert status not in LEFT_ALONE


@pytest.mark.parametrize(
    ("action", "before", "observed", "expected"),
    [
        ("create", "Creating", None, "Error"),
        ("start", "Stopped", "exited", "Error"),
        ("rebuild", "Running", None, "Error"),
        # Failed stop, pause, kill, reboot leave what is there (contract 3.2).
        ("stop", "Running", "running", "Running"),
        ("stop", "Running", None, "Running"),
        ("pause", "Running", "exited", "Stopped"),
        ("reboot", "Running", "running", "Running"),
        ("kill", "Running", "missing", "Error"),
        ("delete", "Running", "running", "Running"),
        # A delete that took the place of another operation: that one will not end any more.
        ("delete", "Creating", None, "Error"),
        ("delete", "Deleting", None, "Error"),
        ("delete", "Creating", "running", "Running"),
        ("delete", "Rebuilding", None, "Error"),
    ],
)
def test_failing(action: str, before: str, observed: str | None, expected: str) -> None:
    seen = Observed(observed) if observed else None
    assert lifecycle.fail(Action(action), Status(before), seen) == expected
