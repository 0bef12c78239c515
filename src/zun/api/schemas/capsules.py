"""The template of a capsule (contract 4.1 to 4.3), one line or fragment a field, and what a template means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zun.api.params import read_body
from zun.api.schemas.compiled import Schema, VersionedSchema
from zun.api.schemas.containers import PAGING
from zun.api.schemas.create import ENVIRONMENT, IMAGE, LABELS, STORED
from zun.api.schemas.types import (
    BOOL,
    BOOL_EXTENDED,
    BOOL_LIST,
    NO_NUL,
    as_bool,
    closed,
    integer,
    name,
    number,
    one_of,
    parameters,
    text,
)
from zun.api.settings import ApiSettings
from zun.api.versions import Version
from zun.model.capsule import RESTART_POLICIES, CapsuleDraft, MemberDraft
from zun.service.errors import Invalid

#: Containers of a capsule at most, and init containers likewise.
_MOST = 32

_WORDS: Schema = {
    "type": ["array", "null"],
    "maxItems": 1024,
    "items": {
        "type": "string",
        "maxLength": 32_768,
        "pattern": NO_NUL,
        "x-why": "must be a string of at most 32768 characters, without NUL",
    },
    "x-bytes": STORED // 2,
    "x-why": f"must be a list of at most 1024 strings, {STORED // 2} bytes of JSON in all",
}

_ANNOTATIONS: Schema = {
    "type": ["object", "null"],
    "maxProperties": 256,
    "propertyNames": {
        "minLength": 1,
        "maxLength": 255,
        "pattern": NO_NUL,
        "x-why": "names must be 1 to 255 characters without NUL",
    },
    "x-bytes": STORED,
    "x-why": f"must be an object of at most 256 annotations, {STORED} bytes of JSON in all",
}

_RESTART_POLICY = one_of(*RESTART_POLICIES)

_PORT: Schema = closed(
    {
        "containerPort": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65_535,
            "x-why": "must be an integer from 1 to 65535",
        },
        "hostPort": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": 65_535,
            "x-why": "must be an integer from 1 to 65535",
        },
        "name": text(0, 255, nullable=True),
        "protocol": one_of("TCP", "UDP"),
    },
    required=("containerPort",),
    why="must be an object with containerPort",
)

_VOLUME_MOUNT: Schema = closed(
    {"name": text(2, 255), "mountPath": text(1, 255), "readOnly": BOOL},
    required=("name", "mountPath"),
    why="must be an object with name and mountPath",
)

_VOLUME: Schema = closed(
    {
        "name": text(2, 255),
        "cinder": closed(
            {
                "volumeID": {
                    "type": "string",
                    "minLength": 36,
                    "maxLength": 36,
                    "pattern": NO_NUL,
                    "x-why": "must be the 36 characters of a uuid",
                },
                "size": {
                    "type": ["number", "string"],
                    "pattern": "^[0-9]{1,9}$",
                    "x-range": [1, 2**31 - 1],
                    "x-why": "must be a number of GiB above 0",
                },
                "autoRemove": BOOL,
            },
            why="must be an object with exactly one of volumeID and size",
        ),
    },
    required=("name", "cinder"),
    why="must be an object with name and cinder",
)


def _list_of(item: Schema, limit: int, what: str, *, least: int = 0) -> Schema:
    some = "1" if least else "0"
    return {
        "type": "array" if least else ["array", "null"],
        "minItems": least,
        "maxItems": limit,
        "items": item,
        "x-why": f"must be a list of {some} to {limit} {what}",
    }


def _member(settings: ApiSettings) -> Schema:
    requests = closed(
        {
            "cpu": number(settings.minimum_cpus, settings.maximum_cpus),
            "memory": integer(settings.minimum_memory, settings.maximum_memory, "MiB"),
        },
        why="must be an object of cpu and memory",
    )
    return closed(
        {
            "image": IMAGE,
            "name": name(nullable=True),
            "command": _WORDS,
            "args": _WORDS,
            "env": ENVIRONMENT,
            "workDir": text(0, 255, nullable=True),
            "imagePullPolicy": one_of(
                "never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent", None,
                what="must be one of never, always, ifnotpresent",
            ),
            "resources": closed({"requests": requests}, why="must be an object with requests"),
            "ports": _list_of(_PORT, 256, "ports"),
            "volumeMounts": _list_of(_VOLUME_MOUNT, 64, "mounts"),
            "stdin": BOOL,
            "tty": BOOL,
        },
        required=("image",),
        why="must be an object with image",
    )  # fmt: skip


def _template(settings: ApiSettings) -> Schema:
    member = _member(settings)
    metadata: Schema = {
        "type": "object",
        "maxProperties": 64,
        "properties": {
            "name": name(nullable=True),
            "labels": LABELS,
            "annotations": _ANNOTATIONS,
        },
        "x-why": "must be an object of name, labels and annotations",
    }
    spec: Schema = {
        "type": "object",
        "maxProperties": 64,
        "properties": {
            "containers": _list_of(member, _MOST, "containers", least=1),
            "initContainers": _list_of(member, _MOST, "init containers"),
            "volumes": _list_of(_VOLUME, 64, "volumes"),
            "restartPolicy": _RESTART_POLICY,
        },
        "required": ["containers"],
        "x-why": "must be an object with containers",
    }
    return closed(
        {
            "kind": one_of("capsule", "Capsule"),
            "capsuleVersion": one_of("beta", "Beta"),
            "metadata": metadata,
            "spec": spec,
            "restartPolicy": _RESTART_POLICY,
            "availabilityZone": text(1, 255),
        },
        required=("kind", "metadata", "spec"),
        why="must be a template: an object, or the JSON text of one",
    )


def _body(settings: ApiSettings, _version: Version) -> Schema:
    return closed(
        {"template": _template(settings)},
        required=("template",),
        why="the body must be a JSON object",
    )


CREATE = VersionedSchema(_body)
LIST = VersionedSchema(
    lambda _settings, _version: parameters({**PAGING, "all_projects": BOOL_LIST}, strict=False)
)
DELETE = VersionedSchema(
    lambda _settings, _version: parameters({"all_projects": BOOL_EXTENDED}, strict=False)
)


def unwrap(document: Any) -> Any:
    """The body with its template as an object, where it came as JSON text (contract 4.1)."""
    template = document.get("template") if isinstance(document, Mapping) else None
    if not isinstance(template, str):
        return document
    try:
        parsed = read_body(template.encode())
    except Invalid as error:
        raise Invalid(f"template: {error.message.removeprefix('body: ')}") from None
    return {**document, "template": parsed}


# ---- from a template to a draft


def to_draft(template: Mapping[str, Any], *, pull_policy: bool) -> CapsuleDraft:
    """The draft of a valid template. Raises Invalid for what a schema can't say.

    `pull_policy`: the caller may choose when images are pulled; else that is left out, as upstream does (contract 4.2).
    """
    metadata, spec = template["metadata"], template["spec"]
    volumes = _volumes(spec)
    return CapsuleDraft(
        name=metadata.get("name"),
        labels={
            key: "" if value is None else str(value)
            for key, value in (metadata.get("labels") or {}).items()
        },
        annotations=metadata.get("annotations") or {},
        restart_policy=RESTART_POLICIES[_restart_policy(template)],
        containers=_members(spec, "containers", volumes, pull_policy),
        init_containers=_members(spec, "initContainers", volumes, pull_policy),
        availability_zone=template.get("availabilityZone"),
        volumes=volumes,
    )


def _restart_policy(template: Mapping[str, Any]) -> str:
    """That of the spec; before microversion 1.16 it stood beside it, and is heard there still (defect 13.2-33)."""
    outer, inner = template.get("restartPolicy"), template["spec"].get("restartPolicy")
    if outer is not None and inner is not None and outer != inner:
        raise Invalid(
            f"template.restartPolicy: says {outer}, but template.spec.restartPolicy {inner}; leave one out"
        )
    found: str = inner or outer or "Always"
    return found


def _members(
    spec: Mapping[str, Any], field: str, volumes: Sequence[str], pull_policy: bool
) -> Sequence[MemberDraft]:
    found = []
    for index, item in enumerate(spec.get(field) or ()):
        where = f"template.spec.{field}[{index}]"
        for number_, mount in enumerate(item.get("volumeMounts") or ()):
            if mount["name"] not in volumes:
                raise Invalid(
                    f"{where}.volumeMounts[{number_}].name: there is no such volume in template.spec.volumes"
                )
        found.append(_draft(where, item, pull_policy))
    return found


def _draft(where: str, item: Mapping[str, Any], pull_policy: bool) -> MemberDraft:
    requests = (item.get("resources") or {}).get("requests") or {}
    cpu, memory = requests.get("cpu"), requests.get("memory")
    policy = item.get("imagePullPolicy") if pull_policy else None
    return MemberDraft(
        image=item["image"],
        command=[*(item.get("command") or ()), *(item.get("args") or ())] or None,
        environment=item.get("env") or {},
        workdir=item.get("workDir") or None,
        image_pull_policy=policy.lower() if policy else None,
        cpu=None if cpu is None else float(cpu),
        memory=None if memory is None else int(memory),
        exposed_ports=_ports(where, item.get("ports") or ()),
        interactive=as_bool(item.get("stdin", False)),
        tty=as_bool(item.get("tty", False)),
    )


def _ports(where: str, ports: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    exposed: dict[str, None] = {}
    for index, port in enumerate(ports):
        inner, outer = int(port["containerPort"]), port.get("hostPort")
        if outer is not None and outer != inner:
            raise Invalid(
                f"{where}.ports[{index}].hostPort: must be containerPort, or left out: a capsule has an address of "
                "its own, and takes no ports of its host"
            )
        exposed[f"{inner}/{port.get('protocol', 'TCP').lower()}"] = None
    return list(exposed)


def _volumes(spec: Mapping[str, Any]) -> Sequence[str]:
    """The names of the volumes (contract 4.3): each of one kind, of a name of its own, and mounted somewhere."""
    items = [*spec["containers"], *(spec.get("initContainers") or ())]
    mounted = {mount["name"] for item in items for mount in item.get("volumeMounts") or ()}
    found: list[str] = []
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"template.spec.volumes[{index}]"
        if ("volumeID" in volume["cinder"]) == ("size" in volume["cinder"]):
            raise Invalid(f"{where}.cinder: must have exactly one of volumeID and size")
        if volume["name"] in found:
            raise Invalid(f"{where}.name: another volume has this name")
        if volume["name"] not in mounted:
            raise Invalid(f"{where}.name: no container mounts this volume")
        found.append(volume["name"])
    return found
