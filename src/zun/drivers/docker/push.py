"""Images sent to registries through a Docker engine.

An engine sends an image to where its name says, so for as long as that takes the image has the name of the registry's.
Who names it meanwhile does not get it: see `vouched`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, Stream
from zun.drivers.docker.registries import SILENCE, header, name_of, refused, words_of
from zun.drivers.image import Credentials, Reference
from zun.drivers.runtime import Progress
from zun.drivers.transfers import LOOK, Tally, Teller
from zun.model.image import is_committed
from zun.model.names import LABEL_COMMITTED


def vouched(reference: Reference, raw: Mapping[str, Any]) -> bool:
    """Whether `reference` may mean this image of the engine.

    One made of a container may be called like anything (defect 13.2-8): it has to be in its project's own place,
    or to have come from, or gone to, the very repository it is called by.
    """
    if LABEL_COMMITTED not in ((raw.get("Config") or {}).get("Labels") or {}):
        return True
    if is_committed(reference.domain, reference.path):
        return True
    return any(d.partition("@")[0] == name_of(reference) for d in raw.get("RepoDigests") or ())


def push(
    engine: Engine,
    source: str,
    reference: Reference,
    credentials: Credentials | None,
    progress: Progress,
    deadline: Deadline,
) -> str:
    """See `CanPush`."""
    repository = name_of(reference)
    with engine.call("name the image", deadline) as client:
        client.tag(source, repository, reference.tag)
    try:
        with (
            engine.call("push the image", deadline, most=SILENCE) as client,
            client.open(
                "POST",
                f"/images/{repository}/push",
                params={"tag": reference.tag},
                headers=header(reference, credentials),
            ) as stream,
            _ended_with(deadline, stream),
        ):
            digest, failure = _follow(stream, progress)
    except (errors.NotFound, errors.Rejected, errors.Conflict, errors.Unavailable) as e:
        raise refused("push", reference, e, words_of(e)) from None
    if failure is not None:
        raise refused("push", reference, None, failure)
    if deadline.cancelled():
        raise errors.Conflict("the one who asked for the push no longer wants it")
    # Somebody else's pull may have given the name to another image before the engine looked what to send.
    if digest is None or f"{repository}@{digest}" not in (
        _inspect(engine, source)["RepoDigests"] or ()
    ):
        raise errors.Unavailable(f"cannot push the image {reference}: it was broken off")
    return digest


def withdraw(
    engine: Engine, source: str, reference: Reference, former: str | None, deadline: Deadline
) -> None:
    """See `CanPush`."""
    try:
        mine, now = _inspect(engine, source)["Id"], _inspect(engine, str(reference))["Id"]
    except errors.NotFound:
        return
    if mine != now or former == mine:
        return
    with engine.call("take back the image's name", deadline) as client:
        if former is not None:
            with contextlib.suppress(errors.NotFound):
                client.tag(former, name_of(reference), reference.tag)
                return
        client.remove_image(str(reference), noprune=True)


def _inspect(engine: Engine, name: str) -> dict[str, Any]:
    with engine.call("look for the image") as client:
        inspect: Callable[[str], dict[str, Any]] = client.inspect_image
        return inspect(name)


@contextlib.contextmanager
def _ended_with(deadline: Deadline, stream: Stream) -> Iterator[None]:
    """Ends the stream, and with it the engine's push, once nobody wants it any more."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            if deadline.cancelled():
                stream.end()
                return

    thread = threading.Thread(target=watch, name="zun-push", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow(stream: Stream, progress: Progress) -> tuple[str | None, str | None]:
    """Reads the progress of a push to its end; the digest, and the words of a failure."""
    tally, tell = Tally("Pushing"), Teller(progress)
    digest: str | None = None
    failure: str | None = None
    for line in stream.lines():
        if "error" in line or "errorDetail" in line:
            detail = line.get("errorDetail") or {}
            failure = str(detail.get("message") or line.get("error") or "no reason given")
            continue
        digest = (line.get("aux") or {}).get("Digest", digest)
        tally.saw(line)
        tell(tally)
    return digest, failure
