"""The microversions (contract 1): which there are, and which one a request gets.

Up to 1.40 answers show all fields at every microversion; what a version adds is what a request may ask. Above it are
our own additions: fields are shown from their version on, so that who asks for 1.40 or less sees what it always was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from zun.api.errors import NotAcceptable, VersionUnsupported, clip


class Version(NamedTuple):
    """A microversion; compares as numbers do."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


VERSIONS: tuple[Version, ...] = tuple(
    Version(1, minor)
    for minor in (
        1,  # the base
        2,  # `nets` on create
        3,  # `auto_remove` on create
        4,  # hosts
        5,  # `runtime` on create
        6,  # network_detach
        7,  # force delete is for admins
        8,  # network_attach
        9,  # `hostname` on create
        10,  # delete is asynchronous
        11,  # `mounts` on create
        12,  # `stop` on delete
        13,  # network_list
        14,  # rename by PATCH; POST rename is gone
        15,  # add_security_group and remove_security_group are gone
        16,  # a capsule's restartPolicy moves into its spec
        17,  # network_detach by port
        18,  # network_list answers grouped by port
        19,  # resize_container
        20,  # `command` is a list; `security_groups` excludes `exposed_ports`
        21,  # `privileged` on create
        22,  # `healthcheck` on create
        23,  # `type` in `mounts`: file injection
        24,  # `exposed_ports` on create
        25,  # archives in base64
        26,  # quotas
        27,  # DELETE of networks
        28,  # `cpu_policy` on create
        29,  # `enable_cpu_pinning` of hosts
        30,  # registries
        31,  # `registry` on create
        32,  # capsule delete is asynchronous; the capsule object's fields renamed
        33,  # `finish_time` of actions
        34,  # capsule init containers
        35,  # capsule ports
        36,  # `tty` independent of `interactive`
        37,  # capsule tty and stdin
        38,  # capsule annotations
        39,  # `host` on create
        40,  # `entrypoint` on create; the last that upstream has, and the last its client asks for
        41,  # `exit_code`, `started_at`, `finished_at`, `health`; lists by several `status`, `name_prefix`, `labels`
        42,  # `follow` of logs, `wait` for a status, GET /events: long-lived answers, reached by a 307
        43,  # `Idempotency-Key` on create
        44,  # `max_run_time` on create, and shown
        45,  # `timeout` of execute, by a 307; the command is killed when the client leaves
        46,  # `digest` of images
        47,  # `console_url`, `expires_at` of sessions; `stdin`, `kill_on_close`, `stdout`, `stderr` of execute
        48,  # drain, maintenance, enable and DELETE of hosts; how a host stands, and its NUMA cells
    )
)

#: The newest that upstream has.
UPSTREAM = Version(1, 40)

#: From here on a capsule has its newer shape (contract 4.5).
RENAMED_CAPSULE = Version(1, 32)

#: Our own additions, by the version they came with.
OUTCOME_FIELDS = Version(1, 41)
LIST_FILTERS = Version(1, 41)
LATER = Version(1, 42)
IDEMPOTENCY = Version(1, 43)
MAX_RUN_TIME = Version(1, 44)
EXEC_TIMEOUT = Version(1, 45)
IMAGE_DIGEST = Version(1, 46)
SESSIONS = Version(1, 47)
HOST_CARE = Version(1, 48)

MIN_VERSION = VERSIONS[0]
MAX_VERSION = VERSIONS[-1]

HEADER = "OpenStack-API-Version"
SERVICE = "container"

#: Bounded digits: int() of thousands of digits raises, and no version needs them.
_NUMBER = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\Z")


def negotiate(header: str | None) -> Version:
    """The microversion a request gets; absent means 1.1, not the latest (contract 13.1-1)."""
    if header is None:
        return MIN_VERSION
    words = header.lower().split()
    if len(words) != 2 or words[0] != SERVICE:
        raise NotAcceptable(
            f"{HEADER}: must be `container <X.Y>` or `container latest`, not `{clip(header)}`"
        )
    if words[1] == "latest":
        return MAX_VERSION
    match = _NUMBER.match(words[1])
    if match is None:
        raise NotAcceptable(f"{HEADER}: `{clip(words[1])}` is not a version of the form X.Y")
    version = Version(int(match[1]), int(match[2]))
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise VersionUnsupported(
            f"{HEADER}: version {version} is not supported; the supported range is "
            f"{MIN_VERSION} to {MAX_VERSION}",
            minimum=str(MIN_VERSION),
            maximum=str(MAX_VERSION),
        )
    return version


#: What every answer of a /v1 controller carries, errors included.
RANGE_HEADERS: Mapping[str, str] = {
    "OpenStack-API-Minimum-Version": f"{SERVICE} {MIN_VERSION}",
    "OpenStack-API-Maximum-Version": f"{SERVICE} {MAX_VERSION}",
    "Vary": HEADER,
}

HEADERS: Mapping[Version, Mapping[str, str]] = {
    version: {HEADER: f"{SERVICE} {version}", **RANGE_HEADERS} for version in VERSIONS
}
