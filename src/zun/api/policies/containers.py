"""Rules of containers (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, DENY_EVERYBODY, PROJECT_MEMBER, PROJECT_READER, rule

_ALL = "/v1/containers"
_EVENTS = "/v1/events"
_ONE = "/v1/containers/{container_ident}"

#: Rules of this prefix hide one field each, and forbid the filter of that name.
FIELD_PREFIX = "container:get_one:"

_CALLS: tuple[policy.RuleDefault, ...] = (
    rule("container:create", PROJECT_MEMBER, "Create a container.", ("POST", _ALL)),
    rule("container:create:runtime", ADMIN_API, "Choose the OCI runtime.", ("POST", _ALL)),
    rule(
        "container:create:image_pull_policy",
        ADMIN_API,
        "Choose when the image is pulled.",
        ("POST", _ALL),
    ),
    rule("container:create:requested_destination", ADMIN_API, "Choose the host.", ("POST", _ALL)),
    rule(
        "container:create:privileged", DENY_EVERYBODY, "Name `privileged` at all.", ("POST", _ALL)
    ),
    rule("container:get_one", PROJECT_READER, "Show a container.", ("GET", _ONE)),
    rule("container:get_one_all_projects", ADMIN_API, "Show one of any project.", ("GET", _ONE)),
    rule(
        "container:get_all", PROJECT_READER, "List the containers of one's project.", ("GET", _ALL)
    ),
    rule("container:get_all_all_projects", ADMIN_API, "List those of all projects.", ("GET", _ALL)),
    rule("container:update", PROJECT_MEMBER, "Change a container.", ("PATCH", _ONE)),
    rule("container:delete", PROJECT_MEMBER, "Delete a container.", ("DELETE", _ONE)),
    rule(
        "container:delete_all_projects", ADMIN_API, "Delete one of any project.", ("DELETE", _ONE)
    ),
    rule("container:delete_force", ADMIN_API, "Delete in almost any status.", ("DELETE", _ONE)),
    rule("event:get_all", PROJECT_READER, "Follow events of one's project.", ("GET", _EVENTS)),
    rule("event:get_all_all_projects", ADMIN_API, "Follow those of all.", ("GET", _EVENTS)),
    rule(
        "container:actions",
        PROJECT_READER,
        "See what was done.",
        ("GET", f"{_ONE}/container_actions"),
    ),
    rule(
        "container:action:events",
        ADMIN_API,
        "See why a step failed.",
        ("GET", f"{_ONE}/container_actions/{{request_id}}"),
    ),
)

#: Actions under a container's own path: rule `container:<action>`.
_ACTIONS: tuple[tuple[str, str], ...] = (
    ("start", "POST"),
    ("stop", "POST"),
    ("reboot", "POST"),
    ("pause", "POST"),
    ("unpause", "POST"),
    ("kill", "POST"),
    ("rebuild", "POST"),
    ("rename", "POST"),
    ("execute", "POST"),
    ("execute_resize", "POST"),
    ("attach", "GET"),
    ("resize", "POST"),
    ("logs", "GET"),
    ("top", "GET"),
    ("stats", "GET"),
    ("get_archive", "GET"),
    ("put_archive", "POST"),
    ("resize_container", "POST"),
    ("commit", "POST"),
    ("network_attach", "POST"),
    ("network_detach", "POST"),
    ("add_security_group", "POST"),
    ("remove_security_group", "POST"),
)

#: What changes nothing and shows nothing but what the container says of itself; its files are for members.
_READS = frozenset({"logs", "top", "stats"})

_FIELDS = ("host", "image_pull_policy", "privileged", "runtime")

RULES: tuple[policy.RuleDefault, ...] = (
    *_CALLS,
    *(
        rule(
            f"container:{action}",
            PROJECT_READER if action in _READS else PROJECT_MEMBER,
            f"Call {action} on a container.",
            (method, f"{_ONE}/{action}"),
        )
        for action, method in _ACTIONS
    ),
    *(
        rule(
            FIELD_PREFIX + field,
            ADMIN_API,
            f"See `{field}`, and filter by it.",
            ("GET", _ONE),
            ("GET", _ALL),
        )
        for field in _FIELDS
    ),
)
