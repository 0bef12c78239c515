"""Rules of images (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, PROJECT_READER, rule

_ALL = "/v1/images"
_ONE = "/v1/images/{image_uuid}"

RULES: tuple[policy.RuleDefault, ...] = (
    rule("image:pull", ADMIN_API, "Have a host pull an image.", ("POST", _ALL)),
    rule("image:get_all", ADMIN_API, "List the images of one's project.", ("GET", _ALL)),
    rule("image:get_one", ADMIN_API, "Show an image.", ("GET", _ONE)),
    rule("image:delete", ADMIN_API, "Remove an image from its host.", ("DELETE", _ONE)),
    rule(
        "image:search",
        PROJECT_READER,
        "Search the registry.",
        ("GET", "/v1/images/{image_name}/search"),
    ),
)
