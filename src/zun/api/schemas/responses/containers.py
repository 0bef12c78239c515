"""What containers answer (contract 2.1, 3, 5.1)."""

from __future__ import annotations

from zun.api.schemas.lift import GATES
from zun.api.schemas.responses.base import (
    ACCEPTED,
    BOOLEAN,
    GONE,
    INTEGER,
    NUMBER,
    SENT_ON,
    STRING,
    STRINGS,
    TEXTS,
    UUID,
    Operation,
    Resource,
    Schema,
    Success,
    listing,
    nullable,
    page,
    ref,
    shape,
)
from zun.api.versions import EXEC_TIMEOUT, LATER, LIST_FILTERS, SESSIONS, Version
from zun.model.container import SORT_KEYS
from zun.model.lifecycle import TRANSITIONS, Status

TIME: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{6})?$",
}
_ADDRESS = shape(
    {
        "addr": STRING,
        "version": {"enum": [4, 6]},
        "port": STRING,
        "subnet_id": nullable(STRING),
        "preserve_on_delete": BOOLEAN,
    }
)
_HEALTHCHECK = shape(
    {"test": STRING, "interval": INTEGER, "retries": INTEGER, "timeout": INTEGER},
    optional=("test", "interval", "retries", "timeout"),
)
RESTART_POLICY = shape(
    {"Name": STRING, "MaximumRetryCount": STRING}, optional=("Name", "MaximumRetryCount")
)
#: Shown only to those whom `container:get_one:<field>` allows it.
_GUARDED = ("image_pull_policy", "host", "runtime", "privileged")
#: What the answer to a create shows as null where nobody set it, and as empty ever after.
_COLLECTIONS: dict[str, Schema] = {
    "command": STRINGS,
    "entrypoint": STRINGS,
    "ports": listing(INTEGER),
    "security_groups": STRINGS,
    "environment": TEXTS,
    "labels": TEXTS,
    "addresses": {"type": "object", "additionalProperties": listing(ref("Address"))},
    "restart_policy": RESTART_POLICY,
    "healthcheck": _HEALTHCHECK,
}
_SCALARS: dict[str, Schema] = {
    "uuid": UUID,
    "name": STRING,
    "project_id": STRING,
    "user_id": STRING,
    "image": STRING,
    "image_driver": STRING,
    "status": {"enum": [str(status) for status in Status]},
    "status_reason": nullable(STRING),
    "status_detail": nullable(STRING),
    "task_state": {"enum": [*dict.fromkeys(move.task for move in TRANSITIONS.values()), None]},
    "cpu": NUMBER,
    "cpu_policy": {"enum": ["shared", "dedicated"]},
    "memory": {"type": "string", "pattern": "^[0-9]+$"},
    "disk": INTEGER,
    "workdir": nullable(STRING),
    "hostname": nullable(STRING),
    "interactive": BOOLEAN,
    "tty": BOOLEAN,
    "auto_remove": BOOLEAN,
    "auto_heal": BOOLEAN,
    "registry_id": nullable(UUID),
    "image_pull_policy": nullable(STRING),
    "host": nullable(STRING),
    "runtime": nullable(STRING),
    "privileged": BOOLEAN,
    "created_at": nullable(TIME),
    "updated_at": nullable(TIME),
}
#: Fields upstream has not: shown from their microversion on, 1.41 and 1.44.
_OWN: dict[str, Schema] = {
    "exit_code": nullable(INTEGER),
    "started_at": nullable(TIME),
    "finished_at": nullable(TIME),
    "health": nullable(STRING),
    "max_run_time": nullable(INTEGER),
}
_OPTIONAL = (*_GUARDED, *_OWN)
_LINKS: dict[str, Schema] = {"links": listing(ref("Link"))}
_UNSET = {name: nullable(schema) for name, schema in _COLLECTIONS.items()}

_SHOWN = Success(what="The container.", schema=ref("Container"))

_FIELDS = {
    "sort_key": f"The field to sort by: one of {', '.join(SORT_KEYS)}.",
    "name": "The name; made up where none is given.",
    "image": "The reference of the image: name, and tag or digest.",
    "image_driver": "Who serves the image.",
    "image_pull_policy": "When the image is pulled.",
    "command": "The command; the image's own where none is given.",
    "entrypoint": "The entry point; the image's own where none is given.",
    "status": "What is true of it now.",
    "status_reason": "Why it is in this status; null while all is well.",
    "status_detail": "A sentence on the status, for people.",
    "task_state": "What is being done to it; null where nothing is.",
    "cpu": "The share of CPU.",
    "cpu_policy": "Whether it shares CPUs or has its own.",
    "memory": "The limit of memory, MiB.",
    "disk": "The limit of disk, GiB.",
    "environment": "Environment variables.",
    "labels": "Labels.",
    "workdir": "The working directory of the command.",
    "hostname": "The host name inside.",
    "ports": "Ports it exposes.",
    "exposed_ports": "Ports open to everybody: `80` or `80/tcp` or `80/udp`, each with `{}`.",
    "addresses": "Its addresses, by the uuid of the network.",
    "addr": "The address.",
    "Address.version": "Of IP.",
    "Address.port": "The port of the network that holds the address.",
    "subnet_id": "The subnet the address is of.",
    "preserve_on_delete": "Whether the port outlives the container: it was the user's.",
    "restart_policy": "What happens when the command ends.",
    "Name": "When it is started again.",
    "MaximumRetryCount": "How often at most, with on-failure.",
    "interactive": "Keeps standard input open.",
    "tty": "Has a terminal.",
    "auto_remove": "Is deleted when its command ends.",
    "auto_heal": "Is rebuilt when the engine has lost it.",
    "security_groups": "Security groups of its ports.",
    "healthcheck": "How to find out whether it works.",
    "cmd": "The command that finds out.",
    "test": "The command that finds out; `cmd` of the request.",
    "interval": "Seconds between two checks.",
    "retries": "How many failures in a row make it unhealthy.",
    "healthcheck.timeout": "Seconds a check may take.",
    "timeout": "Seconds it gets to end by itself.",
    "registry": "The registry the image is from: uuid or name.",
    "registry_id": "The registry the image is from.",
    "host": "The host it runs on.",
    "runtime": "The OCI runtime.",
    "privileged": "Has the rights of the host; no operator allows it by default.",
    "nets": "Networks, one address or more on each; the project's own where none is given.",
    "network": "A network: name or uuid.",
    "nets.port": "A port: name or uuid.",
    "v4-fixed-ip": "The IPv4 address to get.",
    "v6-fixed-ip": "The IPv6 address to get.",
    "mounts": "Volumes to mount, and files to put inside.",
    "mounts.type": "`volume`, or `bind` for a file.",
    "source": "The volume's name or uuid; the file's content in base64.",
    "destination": "The path inside.",
    "size": "GiB of a new volume.",
    "hints": "Hints for the scheduler.",
    "availability_zone": "The zone to run in.",
    "run": "Also start it.",
    "containers": "The containers of the page.",
    "force": "In almost any status, whatever the engine says; for administrators.",
    "stop": "Stop it first where it runs.",
    "signal": "The signal: `SIGTERM`, `TERM` or `15`; KILL where none is given.",
    "stdout": "With standard output.",
    "stderr": "With standard error.",
    "timestamps": "With the time of each line.",
    "tail": "The last lines only, so many, or `all`.",
    "since": "From this moment on: seconds of the epoch, or `YYYY-MM-DD HH:MM:SS,fff` in UTC.",
    "execute.command": "The command line, split by the rules of the shell.",
    "execute.run": "Wait for its end and answer its output.",
    "execute.interactive": "With standard input and a terminal.",
    "execute.stdin": "With run=true: the text it reads, to its end.",
    "execute.kill_on_close": "Kill it when its client leaves: by default with a timeout, not with run=false.",
    "Execution.stdout": "Standard output alone; null where there is a session.",
    "Execution.stderr": "Standard error alone; null where there is a session.",
    "console_url": "The page that shows the session in a browser; null where the command has ended.",
    "expires_at": "Until when the session must have begun.",
    "repository": "The name of the image.",
    "tag": "The tag of the image; `latest` where none is given.",
    "output": "Standard output and standard error.",
    "exit_code": "The exit code; null while it runs.",
    "started_at": "When it was started last.",
    "finished_at": "When it ended last.",
    "health": "What its health check says.",
    "max_run_time": "Seconds after which it is stopped.",
    "name_prefix": "Only those whose name begins so.",
    "wait": "Answer once it has one of these statuses, with commas between them.",
    "execute.timeout": "Seconds to wait for the command; then it is killed.",
    "follow": "Go on with what is written, until the container ends.",
    "exec_id": "The session; null where the command has ended.",
    "proxy_url": "Where to talk to the session; null where the command has ended.",
}

RESOURCE = Resource(
    name="containers",
    what="Containers, and what can be done to them.",
    fields=_FIELDS,
    schemas={
        "Address": _ADDRESS,
        "Container": shape({**_SCALARS, **_COLLECTIONS, **_OWN, **_LINKS}, optional=_OPTIONAL)
        | {"description": "A container. An operator may hide more fields by policy."},
        "CreatedContainer": shape({**_SCALARS, **_UNSET, **_OWN, **_LINKS}, optional=_OPTIONAL)
        | {"description": "As a create answers: null for the collections that were not given."},
        "ListedContainer": shape({**_SCALARS, **_COLLECTIONS, **_OWN}, optional=_OPTIONAL)
        | {"description": "As lists show it: without links."},
        "Execution": shape(
            {
                "output": nullable(STRING),
                "exit_code": nullable(INTEGER),
                "exec_id": nullable(STRING),
                "proxy_url": nullable(STRING),
                "console_url": nullable(STRING),
                "expires_at": nullable(STRING),
                "stdout": nullable(STRING),
                "stderr": nullable(STRING),
            },
            optional=("console_url", "expires_at", "stdout", "stderr"),
        ),
    },
    operations={
        "GET /v1/containers": Operation(
            summary="List containers",
            description="The parameters named as fields keep only the containers that have that value.",
            answers={200: Success(what="A page.", schema=page("containers", ref("ListedContainer")))},
            since={"name_prefix": LIST_FILTERS, "labels": LIST_FILTERS},
        ),
        "POST /v1/containers": Operation(
            summary="Create a container",
            description="A host is chosen and the image pulled after the answer: watch `status`. A create that "
            "fails later ends in Error with a `status_reason`. From 1.43 on, the header `Idempotency-Key` has "
            "the same request of a project make one container within 24 hours.",
            answers={
                202: Success(
                    what="Accepted; it is made later.",
                    schema=ref("CreatedContainer"),
                    headers={"Location": "The URL of the container."},
                    sometimes={"Idempotency-Replayed": "The key has made this container before."},
                )
            },
            errors=(404, 409),
            since={name: version for name, (version, _) in GATES.items()},
        ),
        "GET /v1/containers/{ident}": Operation(
            summary="Show a container, now or once it has a status",
            description="With `wait`, the answer comes at the transition.",
            answers={200: _SHOWN, 307: SENT_ON},
            errors=(503,),
            since={"wait": LATER, "timeout": LATER},
        ),
        "PATCH /v1/containers/{ident}": Operation(
            summary="Change a container",
            description="Another `cpu` or `memory` is true on the host when the answer comes.",
            answers={200: _SHOWN},
            errors=(503,),
        ),
        "DELETE /v1/containers/{ident}": Operation(
            summary="Delete a container",
            answers={204: GONE},
            since={"force": Version(1, 7), "stop": Version(1, 12)},
        ),
        "POST /v1/containers/{ident}/start": Operation(
            summary="Start a container", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/stop": Operation(
            summary="Stop a container", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/reboot": Operation(
            summary="Stop a container and start it again", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/pause": Operation(
            summary="Freeze the processes of a container", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/unpause": Operation(
            summary="Let the processes of a paused container go on", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/kill": Operation(
            summary="Send a signal to a container", answers={202: ACCEPTED}
        ),
        "POST /v1/containers/{ident}/rebuild": Operation(
            summary="Make a container anew, from the same image or another",
            description="Addresses and volumes stay.",
            answers={202: ACCEPTED},
        ),
        "POST /v1/containers/{ident}/rename": Operation(
            summary="Rename a container",
            description="From microversion 1.14 on, PATCH does it.",
            answers={200: _SHOWN},
        ),
        "POST /v1/containers/{ident}/resize_container": Operation(
            summary="Give a container more or less",
            description="It happens after the answer: watch `cpu` and `memory`.",
            answers={202: Success(what="The container as it still is.", schema=ref("Container"))},
        ),
        "POST /v1/containers/{ident}/commit": Operation(
            summary="Make an image of a container",
            description="For the containers of its project on its host. It is made after the answer; one that is "
            "there already under the same name is made anew. A repository that names a registry "
            "(`registry.example.com:5000/team/app`) is sent there as well, as the user of the project's registry of "
            "that domain. What went wrong is in the container's `status_reason`; then there is no image.",
            answers={
                202: Success(
                    what="Accepted; it is made later.",
                    schema=shape({"uuid": UUID | {"description": "The image to come."}}),
                )
            },
        ),
        "GET /v1/containers/{ident}/logs": Operation(
            summary="Show what a container wrote, or follow what it writes",
            answers={200: Success(what="The text.", schema=STRING), 307: SENT_ON},
            errors=(503,),
            since={"follow": LATER},
        ),
        "POST /v1/containers/{ident}/execute": Operation(
            summary="Run a command in a container",
            description="With run=true the command has ended when the answer comes. With run=false it is made, and "
            "begins when somebody comes to `proxy_url`, a websocket, or `console_url`, a page: each is good once, "
            "until `expires_at`.",
            answers={
                200: Success(
                    what="How it ended, or where it is talked to.",
                    schema=ref("Execution"),
                    sometimes={"Cache-Control": "no-store, where there is a URL that is good once."},
                ),
                307: SENT_ON,
            },
            errors=(503,),
            since={
                "timeout": EXEC_TIMEOUT,
                "stdin": SESSIONS,
                "kill_on_close": SESSIONS,
                "console_url": SESSIONS,
                "expires_at": SESSIONS,
                "stdout": SESSIONS,
                "stderr": SESSIONS,
            },
        ),
    },
)  # fmt: skip
