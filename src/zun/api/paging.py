"""Pages of collections: parameters to a `ListQuery`, and a page to its `next` (contract 2.0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zun.api.errors import clip
from zun.api.views.links import Urls
from zun.model.names import uuid_or_none
from zun.service.errors import Invalid, NotFound
from zun.service.queries import ListQuery


class _HasUuid(Protocol):
    @property
    def uuid(self) -> str: ...


def list_query(
    params: Mapping[str, Any],
    *,
    max_limit: int,
    sort_keys: Sequence[str],
    default_sort: str,
    not_found: str,
    filters: Mapping[str, Any] | None = None,
    all_projects: bool = False,
    by_uuid: bool = True,
) -> ListQuery:
    """One page; the parameters are valid by schema. `not_found` is the slug for a marker that nothing has.

    `by_uuid` False: what the collection holds has no uuid, and its marker is a name.
    """
    sort_key = params.get("sort_key", default_sort)
    if sort_key not in sort_keys:
        raise Invalid(
            f"sort_key: must be one of {', '.join(sort_keys)}, not `{clip(sort_key)}`",
            slug="invalid-parameter-value",
        )
    marker = params.get("marker")
    if marker is not None and by_uuid:
        uuid = uuid_or_none(marker)
        if uuid is None:
            raise NotFound(f"marker: nothing here has the uuid {clip(marker)}.", slug=not_found)
        marker = uuid
    return ListQuery(
        limit=min(int(params.get("limit", max_limit)), max_limit),
        marker=marker,
        sort_key=sort_key,
        descending=params.get("sort_dir") == "desc",
        filters=filters or {},
        all_projects=all_projects,
    )


def next_link(
    urls: Urls,
    collection: str,
    rows: Sequence[_HasUuid],
    query: ListQuery,
    repeated: Mapping[str, Any] | None = None,
) -> str | None:
    """The URL of the page after `rows`, which repeats the filters (defect 13.2-29); None after the last."""
    last = rows[-1].uuid if rows else ""
    return next_after(urls, collection, len(rows), last, query, repeated)


def next_after(
    urls: Urls,
    collection: str,
    shown: int,
    last: str,
    query: ListQuery,
    repeated: Mapping[str, Any] | None = None,
) -> str | None:
    """The same for a page of `shown` items whose last has the marker `last`."""
    if shown < query.limit:
        return None
    params = [
        ("sort_key", query.sort_key),
        ("sort_dir", "desc" if query.descending else "asc"),
        ("limit", str(query.limit)),
        ("marker", last),
        *((key, str(value)) for key, value in (repeated or {}).items()),
    ]
    return urls.next(collection, params)
