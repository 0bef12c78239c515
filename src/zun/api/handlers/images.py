"""Images on hosts, and those made of containers (contract 2.5, 8)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.api.paging import list_query, next_link
from zun.api.schemas.types import as_bool
from zun.api.views import images as views
from zun.model.image import SORT_KEYS, HostImage
from zun.service.errors import Invalid, NotFound
from zun.service.images import PullRequest

_SLUG = "image-not-found"


def _image(call: Call, rule: str) -> HostImage:
    call.authorize(rule)
    ident = call.path["image"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no image {clip(ident)}.", slug=_SLUG)
    return call.services.images.find(call.caller, ident)


def list_all(call: Call) -> Answer:
    """GET /images: those of the caller's project."""
    call.authorize("image:get_all")
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=SORT_KEYS,
        default_sort="id",
        not_found=_SLUG,
    )
    rows = call.services.images.list(call.caller, query)
    items = [views.image(row, call.urls, call.version) for row in rows]
    return Answer(200, {"images": items, "next": next_link(call.urls, "images", rows, query)})


def show(call: Call) -> Answer:
    """GET /images/{image}."""
    return Answer(200, views.image(_image(call, "image:get_one"), call.urls, call.version))


def pull(call: Call) -> Answer:
    """POST /images: 202, and the host gets it later."""
    call.authorize("image:pull")
    body = call.body
    policy = body.get("image_pull_policy")
    request = PullRequest(
        repo=body["repo"],
        host=body["host"],
        tag=body.get("tag") or None,
        policy=policy.lower() if policy else None,
    )
    image = call.services.images.pull(call.caller, request)
    location = {"Location": call.urls.resource("images", image.uuid)}
    return Answer(202, views.image(image, call.urls, call.version), location)


def delete(call: Call) -> Answer:
    """DELETE /images/{image}: 200, and it goes later."""
    call.services.images.delete(call.caller, _image(call, "image:delete"))
    return Answer(200)


def search(call: Call) -> Answer:
    """GET /images/{name}/search; a name may have slashes (defect 13.2-25)."""
    call.authorize("image:search")
    name = "/".join(call.path.values())
    if len(name) > 255 or not name.isprintable():
        raise Invalid("name: must be at most 255 printable characters")
    exact = as_bool(call.params.get("exact_match", False))
    found = call.services.images.search(name, exact=exact)
    return Answer(200, [views.found(item) for item in found])


def commit(call: Call) -> Answer:
    """POST /containers/{ident}/commit: 202 with the uuid of the image to come."""
    container = call.container("container:commit")
    tag = call.params.get("tag", "latest")
    image = call.services.images.commit(call.caller, container, call.params["repository"], tag)
    return Answer(202, {"uuid": image.uuid})
