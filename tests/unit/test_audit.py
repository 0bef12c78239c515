"""The two lists of contract 13, row by row: which test holds it, or why none does yet.

A defect's test is named `test_defect_NN_...`, a quirk's `test_quirk_NN_...`, wherever it lives; other tests that hold a
quirk are named here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).parents[1]

#: 13.2: what upstream gets wrong, for the reader's eye.
DEFECTS: Mapping[int, str] = {
    1: "a failed mount of a volume makes a new file system on it",
    2: "force with stop skips the rule of force",
    3: "execute_resize takes another project's exec",
    4: "tokens of attach and exec never expire",
    5: "the Host of a connection is added to the origins",
    6: "tracebacks of hosts are answered",
    7: "digests are dropped",
    8: "a committed image is everybody's",
    9: "exec needs the engine's open TCP port",
    10: "the key of passwords is a published constant",
    11: "quotas are passed by",
    12: "a caller forges links by resource_url",
    13: "a create that fails leaves a row nobody can delete",
    14: "volumes leak when no host is found",
    15: "a capsule that fails midway leaves its row",
    16: "a delete that meets a missing network leaves the container",
    17: "one host's reaper takes every host's rows",
    18: "a capsule's security group is never applied nor removed",
    19: "a microversion out of range is a 500",
    20: "a wrong Content-Type is a 500",
    21: "nulls and missing parameters are 500s",
    22: "wrong capsule templates are 500s",
    23: "zones, images by name, search and dead hosts are 500s",
    24: "names that end like files can't be reached",
    25: "a name with slashes can't be searched for",
    26: "a 204 has a body",
    27: "a null name renames to None",
    28: "the filter auto_remove depends on the database",
    29: "next loses the filters",
    30: "the validation of images does nothing",
    31: "pull policies with capitals never pull",
    32: "a capsule's containers get another's restart policy",
    33: "parts of a capsule's template are silently ignored",
    34: "auto_heal never works",
    35: "kill, rebuild and detach by port do something else",
    36: "a delete never gets its finish_time",
    37: "a delete with stop is two unordered casts",
    38: "every PUT of a quota adds a row",
    39: "a PUT counts as a heartbeat",
    40: "what is no UTF-8 can't be transported",
    41: "scheduler filters crash on capsules",
    42: "the proxy dies of a partial write",
    43: "a capsule's status is never true again",
    44: "hostnames and health checks are checked by another's rule",
    45: "links ignore the mount and the proxy in front",
    46: "internal columns are sort keys",
}
_CINDER = "Cinder volumes are not built"
_NEUTRON = "security groups come with Neutron"
#: Whoever builds it adds the test and takes the row away.
NOT_YET: Mapping[int, str] = {1: _CINDER, 14: _CINDER, 18: _NEUTRON}

#: 13.1: row -> the tests that hold it beside those of its own name.
QUIRKS: Mapping[int, tuple[str, ...]] = {
    1: ("test_absent_means_the_oldest",),
    2: (),
    3: (),
    4: (),
    5: ("test_single_answers_are_wrapped_and_lists_are_flat",
        "test_the_password_is_masked_even_where_there_is_none"),
    6: (),
    7: (),
    8: (),
    9: ("test_rows_of_others_are_404_whatever_is_asked", "test_administrators_cross_projects"),
    10: ("test_defect_45_links_know_the_mount_and_next_does_not",),
    11: ("test_slashes_and_the_alias", "test_v1_is_public"),
    12: (),
    13: (),
    14: (),
    15: (),
    16: ("test_images_that_cannot_be", "test_too_early_is_a_400_and_a_session_is_as_it_was_granted"),
    17: (),
    18: ("test_privileged_is_denied_to_administrators_too",),
    19: ("test_defect_36_the_newest_action_of_a_request_is_shown",),
    20: (),
    21: ("test_operators_hide_fields",),
    22: ("test_error_bodies_have_one_shape",),
    23: (),
}  # fmt: skip


def _tests() -> set[str]:
    """The names of all tests there are."""
    trees = (ast.parse(path.read_text()) for path in TESTS.rglob("test_*.py"))
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _numbered(kind: str) -> set[int]:
    found = (re.match(rf"test_{kind}_(\d\d)_\w", name) for name in _tests())
    return {int(match[1]) for match in found if match}


def test_every_defect_has_its_test_or_its_reason() -> None:
    tested = _numbered("defect")
    assert tested <= set(DEFECTS) == set(range(1, 47))
    untested = {number: what for number, what in DEFECTS.items() if number not in tested}
    assert set(untested) <= set(NOT_YET), f"no test: {untested}"
    assert not tested & set(NOT_YET), "these have a test by now: take them off NOT_YET"


def test_every_quirk_has_its_test() -> None:
    tested = _numbered("quirk")
    assert set(QUIRKS) == set(range(1, 24))
    assert {number for number, names in QUIRKS.items() if not names} <= tested
    gone = {name for names in QUIRKS.values() for name in names} - _tests()
    assert not gone, f"there are no such tests any more: {gone}"
