"""What capsules answer (contract 4.5), in the shape of 1.32 and later and in the older one."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    GONE,
    NUMBER,
    STRING,
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
from zun.api.schemas.responses.containers import RESTART_POLICY, TIME
from zun.model.capsule import SORT_KEYS
from zun.model.lifecycle import Status

_COMMON: dict[str, Schema] = {
    "uuid": UUID,
    "links": listing(ref("Link")),
    "annotations": {"type": "object"},
    "status": {"enum": [str(status) for status in Status]},
    "status_reason": nullable(STRING),
    "cpu": NUMBER,
    "memory": {"type": "string", "pattern": "^[0-9]+$"},
    "addresses": {"type": "object", "additionalProperties": listing(ref("Address"))},
    "project_id": STRING,
    "user_id": STRING,
    "created_at": nullable(TIME),
    "updated_at": nullable(TIME),
    "containers": listing(ref("ListedContainer")),
    "init_containers": listing(ref("ListedContainer")),
    "host": nullable(STRING),
}
_EMPTY_LIST: Schema = {"type": "array", "maxItems": 0}
_SHOWN = {"anyOf": [ref("Capsule"), ref("OldCapsule")]}

RESOURCE = Resource(
    name="capsules",
    what="Capsules: several containers on one host that share a network address, as a pod does.",
    fields={
        "path.capsule": "A uuid, or a name that is unique in the project.",
        "sort_key": f"The field to sort by: one of {', '.join(SORT_KEYS)}.",
        "capsules": "The capsules of the page.",
        "template": "The template; the JSON text of one is taken as well.",
        "kind": "What it is a template of.",
        "capsuleVersion": "The version of the form of the template.",
        "metadata": "What the capsule is called; other keys are ignored.",
        "spec": "What is in it; other keys are ignored.",
        "spec.containers": "The containers, in the order in which they are started.",
        "initContainers": "Containers that run first, one after another, each to a good end.",
        "volumes": "Volumes; each must be mounted by a container. They need Cinder.",
        "restartPolicy": "When containers that have ended are started again.",
        "template.restartPolicy": "As that of the spec, where older templates have it.",
        "availabilityZone": "The zone to run in.",
        "image": "The reference of the image: name, and tag or digest.",
        "containers.name": "A name for the reader of the template: the container gets one made up.",
        "initContainers.name": "A name for the reader of the template: the container gets one made up.",
        "command": "The command; the image's own where neither it nor `args` are given.",
        "args": "Put behind `command`.",
        "env": "Environment variables.",
        "workDir": "The working directory of the command.",
        "imagePullPolicy": "When the image is pulled; heard only of whom a rule allows it.",
        "resources": "What it gets.",
        "requests": "CPUs and MiB of memory: as limits, and counted in quotas.",
        "requests.cpu": "The share of CPU.",
        "requests.memory": "The limit of memory, MiB.",
        "ports": "Ports it listens on.",
        "containerPort": "The port.",
        "hostPort": "The same port, or nothing: a capsule has an address of its own.",
        "ports.name": "A name for the reader of the template.",
        "protocol": "The protocol of the port; TCP where none is given.",
        "volumeMounts": "Where volumes are mounted.",
        "volumeMounts.name": "The volume's name in this template.",
        "mountPath": "The path inside.",
        "readOnly": "Mounts it so that it can't be written to.",
        "volumes.name": "The name by which containers mount it.",
        "cinder": "The volume.",
        "volumeID": "One that is there.",
        "size": "GiB of a new one.",
        "autoRemove": "Deletes a new one with the capsule.",
        "stdin": "Keeps standard input open.",
        "tty": "Has a terminal.",
        "metadata.name": "The name of the capsule; none is made up.",
        "name": "The name; null where none was given.",
        "meta_name": "The name; null where none was given.",
        "labels": "Labels.",
        "meta_labels": "Labels.",
        "annotations": "Annotations: kept and shown, and nothing else.",
        "restart_policy": "When containers that have ended are started again.",
        "Name": "When they are started again.",
        "MaximumRetryCount": "How often at most; 0: without end.",
        "status": "Running: all its containers run. Error: not so; `status_reason` names the container.",
        "status_reason": "Why it is in this status; null while all is well.",
        "cpu": "CPUs of all containers, or of an init container that needs more.",
        "memory": "The same of memory, MiB.",
        "addresses": "The addresses that its containers share, by the uuid of the network.",
        "containers": "Its containers.",
        "init_containers": "Its init containers.",
        "host": "The host it runs on.",
        "volumes_info": "Always empty.",
        "containers_uuids": "Always empty.",
        "init_containers_uuids": "Always empty.",
        "capsule_version": "Always empty.",
    },
    schemas={
        "Capsule": shape(
            {
                **_COMMON,
                "name": nullable(STRING),
                "labels": TEXTS,
                "restart_policy": RESTART_POLICY,
            },
            optional=("host",),
        )
        | {"description": "A capsule, from 1.32 on. An operator may hide fields by policy."},
        "OldCapsule": shape(
            {
                **_COMMON,
                "meta_name": nullable(STRING),
                "meta_labels": TEXTS,
                "restart_policy": STRING,
                "volumes_info": {"type": "object", "maxProperties": 0},
                "containers_uuids": _EMPTY_LIST,
                "init_containers_uuids": _EMPTY_LIST,
                "capsule_version": {"const": ""},
            },
            optional=("host",),
        )
        | {"description": "A capsule, up to 1.31."},
    },
    operations={
        "GET /v1/capsules": Operation(
            summary="List capsules",
            description="Unknown parameters are ignored, and so is `all_projects` of who may not see them.",
            answers={200: Success(what="A page.", schema=page("capsules", _SHOWN))},
        ),
        "POST /v1/capsules": Operation(
            summary="Create a capsule",
            description="A host is chosen, the images pulled and the containers started after the answer: watch "
            "`status`. A create that fails later ends in Error with a `status_reason`.",
            answers={
                202: Success(
                    what="Accepted; it is made later.",
                    schema=_SHOWN,
                    headers={"Location": "The URL of the capsule."},
                )
            },
            errors=(409,),
        ),
        "GET /v1/capsules/{capsule}": Operation(
            summary="Show a capsule",
            answers={200: Success(what="The capsule.", schema=_SHOWN)},
            errors=(409,),
        ),
        "DELETE /v1/capsules/{capsule}": Operation(
            summary="Delete a capsule",
            description="In any status, with all its containers.",
            answers={204: GONE},
            errors=(409,),
        ),
    },
)
