"""The image source of registries, through a Docker engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import push
from zun.drivers.docker.client import Engine, answered
from zun.drivers.docker.registries import SILENCE, header, name_of, refused, words_of
from zun.drivers.image import Credentials, Image, PullPolicy, Reference
from zun.drivers.references import parse
from zun.drivers.runtime import Progress
from zun.drivers.transfers import Key, Transfer, Transfers


class DockerImages:
    """ImageSource and CanPush on one engine. See the contract in `zun.drivers.image`.

    A pull with credentials is shared only by those who show the same ones. With the policy "ifnotpresent" an image
    the host has is used by whoever names it, as every engine does; whoever must have access checked asks "always".
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transfers = Transfers(self._pull)

    def resolve(self, text: str) -> Reference:
        return parse(text)

    def ensure(
        self,
        reference: Reference,
        policy: PullPolicy,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> Image:
        always = policy is PullPolicy.ALWAYS
        if not always and (image := self._present(reference, deadline)):
            return image
        if policy is PullPolicy.NEVER:
            raise errors.NotFound(f"this host has no image {reference}, and it must not be pulled")
        return self._transfers.join(
            Key(str(reference), credentials, always), reference, progress, deadline
        )

    def search(self, term: str, limit: int, deadline: Deadline) -> Sequence[Mapping[str, Any]]:
        try:
            with self._engine.call("search the registry", deadline) as client:
                found: list[dict[str, Any]] = client.search(term, limit=limit)
        except errors.Unavailable as e:
            # Engines search by the protocol of the first registries, which the Hub alone has kept.
            if not answered(e) or not parse(term).domain:
                raise
            raise errors.Unsupported("this registry offers no search") from e
        return tuple(found[:limit])

    def remove(self, reference: str, deadline: Deadline) -> None:
        try:
            with self._engine.call("remove the image", deadline) as client:
                client.remove_image(reference)
        except errors.NotFound:
            return

    def meant(self, reference: Reference, deadline: Deadline) -> str | None:
        image = self._present(reference, deadline)
        return None if image is None else image.runtime_ref

    def push(
        self,
        source: str,
        reference: Reference,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> str:
        return push.push(self._engine, source, reference, credentials, progress, deadline)

    def withdraw(
        self, source: str, reference: Reference, former: str | None, deadline: Deadline
    ) -> None:
        push.withdraw(self._engine, source, reference, former, deadline)

    def _present(self, reference: Reference, deadline: Deadline) -> Image | None:
        try:
            with self._engine.call("look for the image", deadline) as client:
                inspect: Callable[[str], Any] = client.inspect_image
                raw = inspect(str(reference))
        except errors.NotFound:
            return None
        return _image(reference, raw) if push.vouched(reference, raw) else None

    def _pull(self, transfer: Transfer) -> Image:
        """Runs in the transfer's own thread. No deadline of one waiter: it is shared, and ends by itself."""
        reference, looks = transfer.reference, Deadline(SILENCE)
        if not transfer.key.always and (image := self._present(reference, looks)):
            return image  # another transfer ended between the waiter's look and now
        try:
            self._stream(transfer)
        except errors.TimedOut as e:
            raise errors.Unavailable(
                f"cannot pull the image {reference}: the registry is silent"
            ) from e
        image = self._present(reference, Deadline(SILENCE))
        if image is None:
            raise errors.Unavailable(f"the image {reference} was removed as soon as it was pulled")
        return image

    def _stream(self, transfer: Transfer) -> None:
        reference = transfer.reference
        params = {"fromImage": name_of(reference), "tag": reference.digest or reference.tag}
        try:
            with (
                self._engine.call("pull the image", most=SILENCE) as client,
                client.open(
                    "POST",
                    "/images/create",
                    params=params,
                    headers=header(reference, transfer.key.credentials),
                ) as stream,
            ):
                failure = _follow(transfer, stream.lines())
        except (errors.NotFound, errors.Rejected, errors.Conflict, errors.Unavailable) as e:
            raise refused("pull", reference, e, words_of(e)) from None
        if failure is not None:
            raise refused("pull", reference, None, failure)


def _follow(transfer: Transfer, lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Reads the progress of a pull to its end; returns the words of a failure."""
    failure: str | None = None
    for line in lines:
        if "error" in line or "errorDetail" in line:
            detail = line.get("errorDetail") or {}
            failure = str(detail.get("message") or line.get("error") or "no reason given")
            continue
        transfer.tally.saw(line)
    return failure


def _image(reference: Reference, raw: Mapping[str, Any]) -> Image:
    name = name_of(reference)
    digests = [str(d).partition("@") for d in raw.get("RepoDigests") or ()]
    own = [digest for repository, _, digest in digests if repository == name]
    config = raw.get("Config") or {}
    command, entrypoint = config.get("Cmd"), config.get("Entrypoint")
    return Image(
        runtime_ref=raw["Id"],
        digest=reference.digest or next(iter(own or [d for _, _, d in digests]), None),
        size=int(raw.get("Size") or 0),
        command=None if command is None else tuple(command),
        entrypoint=None if entrypoint is None else tuple(entrypoint),
    )
