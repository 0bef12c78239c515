"""What goes on in a container: processes, usage, files (contract 6)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    STRINGS,
    Operation,
    Resource,
    Schema,
    Success,
    listing,
    ref,
    shape,
)

_PAIR: Schema = {"type": "string", "pattern": "^[0-9]+/[0-9]+$"}

RESOURCE = Resource(
    name="container contents",
    what="What goes on in a container: its processes, what it uses, its files. Its host is asked while the caller "
    "waits.",
    fields={
        "ps_args": "Arguments of `ps`; the engine's usual ones where none are given.",
        "Titles": "The titles of the columns.",
        "Processes": "A row each, of as many columns.",
        "CONTAINER": "The name of the container.",
        "CPU %": "What it uses of CPUs now; 100 is one CPU, kept busy.",
        "MEM USAGE(MiB)": "Memory it uses, without what only caches files, MiB.",
        "MEM LIMIT(MiB)": "Memory it may use, MiB.",
        "MEM %": "The one by the other.",
        "BLOCK I/O(B)": "Bytes read and bytes written, since it was started.",
        "NET I/O(B)": "Bytes received and bytes sent, since it was started.",
        "get_archive.path": "The file or directory inside to get.",
        "put_archive.path": "The directory inside to unpack it in, which must be there.",
        "data": "A tar archive: in base64 from microversion 1.25 on, as it is up to 1.24.",
        "stat": "What is at the path itself.",
        "stat.name": "Its name.",
        "stat.size": "Its size, bytes.",
        "mode": "Its mode, with the kind of file, as Go's `os.FileMode`.",
        "mtime": "When it was last changed, as in RFC 3339.",
        "linkTarget": "Where it leads, of a symbolic link; else empty.",
    },
    schemas={
        "Processes": shape({"Titles": STRINGS, "Processes": listing(STRINGS)}),
        "Stats": shape(
            {
                "CONTAINER": STRING,
                "CPU %": NUMBER,
                "MEM USAGE(MiB)": NUMBER,
                "MEM LIMIT(MiB)": NUMBER,
                "MEM %": NUMBER,
                "BLOCK I/O(B)": _PAIR,
                "NET I/O(B)": _PAIR,
            }
        ),
        "Archive": shape(
            {
                "data": STRING,
                "stat": shape(
                    {
                        "name": STRING,
                        "size": INTEGER,
                        "mode": INTEGER,
                        "mtime": STRING,
                        "linkTarget": STRING,
                    }
                ),
            }
        ),
    },
    operations={
        "GET /v1/containers/{ident}/top": Operation(
            summary="List the processes of a container",
            answers={200: Success(what="The processes.", schema=ref("Processes"))},
            errors=(503,),
        ),
        "GET /v1/containers/{ident}/stats": Operation(
            summary="Show what a container uses now",
            answers={200: Success(what="One look.", schema=ref("Stats"))},
            errors=(503,),
        ),
        "GET /v1/containers/{ident}/get_archive": Operation(
            summary="Get files out of a container",
            description="Up to microversion 1.24 only files that are text.",
            answers={200: Success(what="The files.", schema=ref("Archive"))},
            errors=(503,),
        ),
        "POST /v1/containers/{ident}/put_archive": Operation(
            summary="Put files into a container",
            description="The body may be larger than that of other requests.",
            answers={200: Success(what="They are there.", schema=NULL)},
            errors=(503,),
        ),
    },
)
