"""What all resources share: errors (contract 7), links, and the meaning of names used everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from zun.api.schemas.responses.base import (
    STRING,
    Schema,
    listing,
    nullable,
    ref,
    shape,
)

SCHEMAS: Mapping[str, Schema] = {
    "Link": shape({"href": STRING, "rel": STRING, "type": STRING}, optional=("type",)),
    "Error": shape(
        {
            "request_id": {"const": ""},
            "code": {
                "type": "string",
                "pattern": r"^(container\.[a-z0-9-]*|zun\.microversion-unsupported)$",
            },
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "title": {"type": "string", "minLength": 1},
            "detail": nullable(STRING),
            "links": listing(ref("Link")),
            "min_version": STRING,
            "max_version": STRING,
        },
        optional=("min_version", "max_version"),
    ),
    "Errors": shape({"errors": listing(ref("Error")) | {"minItems": 1, "maxItems": 1}}),
    "Unauthorized": shape(
        {"error": shape({"code": {"const": 401}, "title": STRING, "message": STRING})}
    ),
}

#: status -> (name of the component, when it comes, the schema of its body).
ERRORS: Mapping[int, tuple[str, str, str]] = {
    400: ("BadRequest", "The request is wrong: the title says what and where.", "Errors"),
    401: ("Unauthorized", "No credentials, or wrong ones.", "Unauthorized"),
    403: ("Forbidden", "A policy rule, which the title names, or a quota forbids it.", "Errors"),
    404: ("NotFound", "There is none, or none that the caller may know of.", "Errors"),
    405: ("MethodNotAllowed", "The path does not serve this method.", "Errors"),
    406: (
        "NotAcceptable",
        "No such microversion, not at this microversion, or `Accept` excludes JSON.",
        "Errors",
    ),
    409: ("Conflict", "The state of the resource forbids it now, or the name is ambiguous.", "Errors"),
    410: ("Gone", "What was asked to go on from is no longer kept.", "Errors"),
    411: ("LengthRequired", "The server can't tell where the body ends.", "Errors"),
    413: ("TooLarge", "The body is larger than the operator allows.", "Errors"),
    415: ("UnsupportedMediaType", "The body is not announced as `application/json`.", "Errors"),
    500: ("Failed", "The service failed; the detail has an id to tell the operator.", "Errors"),
    503: ("Unavailable", "A part of the service that is needed does not answer now.", "Errors"),
}  # fmt: skip

FIELDS: Mapping[str, str] = {
    "uuid": "Identity.",
    "ident": "A uuid, or a name that is unique in the project.",
    "project_id": "The project that owns it.",
    "user_id": "The user who made it.",
    "links": "Where to find it: `self`, and `bookmark` without a version.",
    "href": "The URL.",
    "rel": "What it leads to.",
    "Link.type": "The media type there.",
    "next": "The URL of the next page; null after the last.",
    "created_at": "When it was made, UTC.",
    "updated_at": "When it was last changed, UTC.",
    "limit": "Rows at most. More than the operator allows means as many as allowed.",
    "marker": "The uuid of the last row of the page before.",
    "sort_key": "The field to sort by.",
    "sort_dir": "The direction.",
    "all_projects": "Of all projects; for administrators.",
    "errors": "Exactly one error.",
    "error": "The error.",
    "Error.request_id": "Always empty: the id is in the header.",
    "Error.code": "`container.` and the kind of error, for programs.",
    "Error.status": "The HTTP status.",
    "title": "What is wrong, for people.",
    "detail": "As the title, or more of it.",
    "Error.links": "Help on the error.",
    "min_version": "The lowest microversion.",
    "max_version": "The highest microversion.",
    "error.code": "The HTTP status.",
    "error.message": "What is wrong, for people.",
}
