"""What quotas and quota classes answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    INTEGER,
    NULL,
    NUMBER,
    Operation,
    Resource,
    Schema,
    Success,
    ref,
    shape,
)
from zun.model.quota import RESOURCES, UNLIMITED

_LIMIT: Schema = {"type": "integer", "minimum": UNLIMITED}
#: CPU alone is used in fractions.
_USES = {name: "CpuQuotaUse" if name == "cpu" else "QuotaUse" for name in RESOURCES}

_LIMITS = Success(what="All limits that hold.", schema=ref("Limits"))
_OF_CLASS = Success(what="All limits of the class.", schema=ref("Limits"))

RESOURCE = Resource(
    name="quotas",
    what="What a project may use. A limit is the project's own, else that of the class `default`, else the "
    "operator's; -1 is no limit.",
    fields={
        "project": "The project's id; whether there is such a project is not looked up.",
        "path.name": "The name of the class, any name; only `default` limits anybody.",
        "containers": "The number of containers.",
        "cpu": "vCPU.",
        "memory": "MiB of memory.",
        "disk": "GiB of disk.",
        "limit": "How much there may be; -1 is no limit.",
        "in_use": "How much there is: of all the project's containers, whatever their status.",
        "usages": "Also tell what is in use.",
    },
    schemas={
        "Limits": shape({name: _LIMIT for name in RESOURCES}),
        "QuotaUse": shape({"limit": _LIMIT, "in_use": INTEGER | {"minimum": 0}}),
        "CpuQuotaUse": shape({"limit": _LIMIT, "in_use": NUMBER | {"minimum": 0}}),
        "Usages": shape({name: ref(use) for name, use in _USES.items()}),
    },
    operations={
        "GET /v1/quotas/{project}": Operation(
            summary="Show the limits of a project, and what it uses",
            answers={
                200: Success(
                    what="All limits; with `usages`, each beside what is in use.",
                    schema={"oneOf": [ref("Limits"), ref("Usages")]},
                )
            },
        ),
        "PUT /v1/quotas/{project}": Operation(
            summary="Set limits of a project",
            description="What is not given stays.",
            answers={200: _LIMITS},
        ),
        "DELETE /v1/quotas/{project}": Operation(
            summary="Remove the limits of a project",
            description="The defaults hold for it again.",
            answers={200: Success(what="There are none any more.", schema=NULL)},
        ),
        "GET /v1/quotas/{project}/defaults": Operation(
            summary="Show the limits of projects that have none of their own",
            answers={200: _LIMITS},
        ),
        "GET /v1/quota_classes/{name}": Operation(
            summary="Show the limits of a quota class",
            description="The operator's, where the class has none.",
            answers={200: _OF_CLASS},
        ),
        "PUT /v1/quota_classes/{name}": Operation(
            summary="Set limits of a quota class",
            description="What is not given stays.",
            answers={200: _OF_CLASS},
        ),
    },
)
