"""What availability zones answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import STRING, Operation, Resource, Success, page, ref, shape

RESOURCE = Resource(
    name="availability zones",
    what="The zones hosts are in.",
    schemas={"AvailabilityZone": shape({"availability_zone": STRING})},
    fields={
        "sort_key": "The field to sort by: availability_zone.",
        "marker": "The name of the last zone of the page before.",
        "availability_zones": "The zones of the page, each once.",
        "availability_zone": "The name of the zone.",
    },
    operations={
        "GET /v1/availability_zones": Operation(
            summary="List availability zones",
            description="Those of all services, also of disabled ones and of those that are down.",
            answers={
                200: Success(
                    what="A page.", schema=page("availability_zones", ref("AvailabilityZone"))
                )
            },
        ),
    },
)
