"""The two public documents (contract 1)."""

from __future__ import annotations

from typing import Any

from zun.api.versions import MAX_VERSION, MIN_VERSION
from zun.api.views.links import Urls

#: Collections of the contract, served already or to come; clients read the list, not each link.
RESOURCES = (
    "services", "containers", "images", "networks", "hosts", "availability_zones", "capsules", "quotas",
    "quota_classes", "registries",
)  # fmt: skip


def root(urls: Urls) -> dict[str, Any]:
    """`GET /`: clients negotiate by it."""
    version = {
        "id": "v1",
        "links": [{"href": f"{urls.base}/v1/", "rel": "self"}],
        "status": "CURRENT",
        "max_version": str(MAX_VERSION),
        "min_version": str(MIN_VERSION),
    }
    return {
        "name": "OpenStack Zun API",
        "description": "Containers as resources of a cloud: this service creates, runs and removes them.",
        "versions": [version],
        "default_version": version,
    }


def v1(urls: Urls) -> dict[str, Any]:
    """`GET /v1`."""
    document: dict[str, Any] = {
        "id": "v1",
        "media_types": [{"base": "application/json", "type": "application/vnd.openstack.zun.v1+json"}],
        "links": [
            {"href": f"{urls.base}/v1/", "rel": "self"},
            {"href": "https://docs.openstack.org/api-ref/application-container/", "rel": "describedby",
             "type": "text/html"},
        ],
    }  # fmt: skip
    for resource in RESOURCES:
        document[resource] = [
            {"href": f"{urls.base}/v1/{resource}/", "rel": "self"},
            {"href": f"{urls.base}/{resource}/", "rel": "bookmark"},
        ]
    return document
