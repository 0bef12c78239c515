"""The contract of an image source: on the fake, and on the real engine with real registries."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.images import NAME, import_image, random_tar
from tests.support.lab import PATIENCE, soon
from tests.support.registry import Registry, free_port

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerImages, Engine
from zun.drivers.fake import Block, FakeImages
from zun.drivers.image import Credentials, Image, PullPolicy, Reference
from zun.drivers.transfers import Key, Transfer
from zun.model import names
from zun.model.image import COMMITTED

ALWAYS, NEVER, PRESENT = PullPolicy.ALWAYS, PullPolicy.NEVER, PullPolicy.IF_NOT_PRESENT
AMY = Credentials(username="amy", password="secret-of-amy")
BEN = Credentials(username="ben", password="secret-of-ben")
WRONG = Credentials(username="amy", password="wrong-word")


def ignore(_: Mapping[str, Any]) -> None:
    """No interest in progress."""


@dataclass
class Source:
    """An image source under test, and how to publish in the registry behind it."""

    images: DockerImages | FakeImages
    publish: Callable[[bool], tuple[str, str]]  # private? -> its text by tag, its digest
    transfers: Callable[[str], int]  # of an image, by its text
    made: list[str] = field(default_factory=list)

    def ensure(
        self,
        text: str,
        policy: PullPolicy = PRESENT,
        credentials: Credentials | None = None,
        deadline: Deadline | None = None,
    ) -> Image:
        reference = self.images.resolve(text)
        self.made.append(str(reference))
        return self.images.ensure(reference, policy, credentials, ignore, deadline or soon())


@pytest.fixture
def fake_source() -> Iterator[Source]:
    images = FakeImages()

    def publish(private: bool) -> tuple[str, str]:
        text = f"registry.test/{names.new_uuid()}:1"
        image = images.publish(text, credentials=AMY if private else None)
        return text, str(image.digest)

    yield Source(images, publish, lambda text: images.called("pull", text))


@pytest.fixture
def docker_source(
    engine: Engine, registry: Registry, private_registry: Registry
) -> Iterator[Source]:
    amy = {"username": AMY.username, "password": AMY.password}

    def publish(private: bool) -> tuple[str, str]:
        where, name = (private_registry if private else registry), f"test/{names.new_uuid()}"
        with engine.call("publish an image") as client:
            ident = import_image(client, random_tar(200_000), name, "1")
            digest = where.push(client, f"{name}:1", name, "1", amy if private else None)
            client.remove_image(ident, force=True)
        return f"{where.domain}/{name}:1", digest

    def transfers(text: str) -> int:
        # Its only layer is asked for once a transfer (besides the configuration, which is a blob as well).
        path = text.partition("/")[2].rpartition(":")[0]
        return registry.requests(f'"GET /v2/{path}/blobs/') // 2

    source = Source(DockerImages(engine), publish, transfers)
    yield source
    for text in source.made:
        with contextlib.suppress(errors.DriverError):
            source.images.remove(text, soon())


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.engine)])
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.getfixturevalue(f"{request.param}_source")
    return found


# -- ensure ----------------------------------------------------------------------------------------------------------


def test_by_tag_and_by_digest_it_is_the_same(source: Source) -> None:
    text, digest = source.publish(False)
    by_tag = source.ensure(text)
    assert by_tag.digest == digest
    assert by_tag.runtime_ref.startswith("sha256:")
    assert by_tag.size > 0
    assert by_tag.command == ("sh",)
    by_digest = source.ensure(f"{text.rpartition(':')[0]}@{digest}")
    assert by_digest == by_tag


def test_a_digest_beats_a_tag(source: Source) -> None:
    text, digest = source.publish(False)
    image = source.ensure(f"{text.rpartition(':')[0]}:nonsense@{digest}")
    assert image.digest == digest


def test_what_is_present_is_not_pulled_again(source: Source) -> None:
    text, _ = source.publish(False)
    image = source.ensure(text)
    before = source.transfers(text)
    assert source.ensure(text) == image
    assert source.ensure(text, NEVER) == image
    assert source.transfers(text) == before == 1


def test_always_asks_the_registry(source: Source) -> None:
    text, _ = source.publish(False)
    assert source.ensure(text, ALWAYS) == source.ensure(text, ALWAYS)


def test_never_does_not_ask(source: Source) -> None:
    text, _ = source.publish(False)
    with pytest.raises(errors.NotFound):
        source.ensure(text, NEVER)
    assert source.transfers(text) == 0


@pytest.mark.parametrize("policy", [PRESENT, ALWAYS])
def test_twenty_at_once_are_one_transfer(source: Source, policy: PullPolicy) -> None:
    text, _ = source.publish(False)
    together = threading.Barrier(20)

    def ensure(_: int) -> Image:
        together.wait(PATIENCE)
        return source.ensure(text, policy)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(ensure, range(20)))
    assert len(set(found)) == 1
    if policy is PRESENT or isinstance(source.images, DockerImages):
        assert source.transfers(text) == 1


def test_what_is_not_there_is_not_found(source: Source) -> None:
    text, _ = source.publish(False)
    with pytest.raises(errors.NotFound) as e:
        source.ensure(text.replace(":1", ":2"))
    assert text.replace(":1", ":2") in e.value.public
    with pytest.raises(errors.NotFound):
        source.ensure(text.replace("/", "/nosuch/", 1))


def test_a_private_image_wants_the_right_credentials(source: Source) -> None:
    text, digest = source.publish(True)
    for credentials in (None, WRONG):
        with pytest.raises(errors.Rejected) as e:
            source.ensure(text, PRESENT, credentials)
        assert "wrong-word" not in str(e.value)
    assert source.ensure(text, PRESENT, AMY).digest == digest
    with pytest.raises(errors.Rejected):
        source.ensure(text, ALWAYS, WRONG)
    # On the host it is anybody's who does not ask for the registry's word.
    assert source.ensure(text).digest == digest


def test_credentials_show_nowhere() -> None:
    assert "secret" not in f"{AMY!r} {AMY} {[AMY]}"


def test_past_the_deadline_nothing_begins(source: Source) -> None:
    text, _ = source.publish(False)
    with pytest.raises(errors.TimedOut):
        source.ensure(text, deadline=Deadline(0))


def test_remove(source: Source) -> None:
    text, _ = source.publish(False)
    source.ensure(text)
    for _ in range(2):
        source.images.remove(text, soon())
    with pytest.raises(errors.NotFound):
        source.ensure(text, NEVER)


# -- push ------------------------------------------------------------------------------------------------------------


@dataclass
class Pusher:
    """An image source that pushes, an image made of a container there, and the registries behind it."""

    images: DockerImages | FakeImages
    made: str  # by its own place on the host
    open: str  # domain of a registry
    closed: str  # of one where only AMY may push
    names: Callable[[], list[str]]
    publish: Callable[[], str]  # an image of the open registry, by its text

    def reference(self, closed: bool = False) -> Reference:
        domain = self.closed if closed else self.open
        return self.images.resolve(f"{domain}/test/{names.new_uuid()}:1")

    def push(self, reference: Reference, who: Credentials | None = None) -> str:
        return self.images.push(self.made, reference, who, ignore, soon())

    def withdraw(self, reference: Reference, former: str | None = None) -> None:
        self.images.withdraw(self.made, reference, former, soon())


@pytest.fixture
def fake_pusher() -> Pusher:
    images, made = FakeImages(), f"{COMMITTED}/p/{names.new_uuid()}:1"
    images.keep(made, "")
    images.close_registry("closed.test", AMY)

    def publish() -> str:
        text = f"open.test/{names.new_uuid()}:1"
        images.publish(text)
        return text

    return Pusher(images, made, "open.test", "closed.test", images.names, publish)


@pytest.fixture
def docker_pusher(
    engine: Engine, registry: Registry, private_registry: Registry, docker_source: Source
) -> Iterator[Pusher]:
    repository = f"{COMMITTED}/p/{names.new_uuid()}"

    def called() -> list[str]:
        with engine.call("list images") as client:
            return [tag for image in client.images() for tag in image["RepoTags"] or ()]

    with engine.call("make an image") as client:
        import_image(
            client, random_tar(100_000), repository, "1", f'LABEL {names.LABEL_COMMITTED}="yes"'
        )
    yield Pusher(
        DockerImages(engine),
        f"{repository}:1",
        registry.domain,
        private_registry.domain,
        called,
        lambda: docker_source.publish(False)[0],
    )
    with engine.call("clean up") as client:
        ident = client.inspect_image(f"{repository}:1")["Id"]
        client.remove_image(ident, force=True)


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.engine)])
def pusher(request: pytest.FixtureRequest) -> Pusher:
    found: Pusher = request.getfixturevalue(f"{request.param}_pusher")
    return found


def test_what_is_pushed_can_be_pulled_and_the_name_goes(pusher: Pusher) -> None:
    reference = pusher.reference()
    assert pusher.images.meant(reference, soon()) is None
    digest = pusher.push(reference)
    assert digest.startswith("sha256:")
    assert pusher.push(reference) == digest, "twice is the same"
    assert pusher.images.meant(reference, soon()), "now it is the registry's as well"
    for _ in range(2):
        pusher.withdraw(reference)
    assert str(reference) not in pusher.names()
    with pytest.raises(errors.NotFound):
        pusher.images.ensure(reference, NEVER, None, ignore, soon())
    assert pusher.images.ensure(reference, PRESENT, None, ignore, soon()).digest == digest


def test_a_registry_that_refuses_is_no_registry_that_has_it(pusher: Pusher) -> None:
    reference = pusher.reference(closed=True)
    for who in (None, WRONG):
        with pytest.raises(errors.Rejected) as e:
            pusher.push(reference, who)
        assert str(reference) in e.value.public and "wrong-word" not in str(e.value)
    # Whether somebody takes the name back or the process died before that.
    assert pusher.images.meant(reference, soon()) is None
    with pytest.raises(errors.NotFound):
        pusher.images.ensure(reference, NEVER, None, ignore, soon())
    pusher.withdraw(reference)
    assert str(reference) not in pusher.names()
    assert pusher.push(reference, AMY).startswith("sha256:")
    pusher.withdraw(reference)


def test_a_name_that_meant_something_means_it_again(pusher: Pusher) -> None:
    reference = pusher.images.resolve(pusher.publish())
    former = pusher.images.ensure(reference, PRESENT, None, ignore, soon()).runtime_ref
    assert pusher.images.meant(reference, soon()) == former
    pusher.push(reference)
    pusher.withdraw(reference, former)
    assert pusher.images.meant(reference, soon()) == former


def test_what_is_not_there_is_not_pushed(pusher: Pusher) -> None:
    nothing = f"{COMMITTED}/p/{names.new_uuid()}:1"
    with pytest.raises(errors.NotFound):
        pusher.images.push(nothing, pusher.reference(), None, ignore, soon())
    pusher.images.withdraw(nothing, pusher.reference(), None, soon())


@pytest.mark.engine
def test_a_push_to_nowhere_is_unavailable(docker_pusher: Pusher) -> None:
    reference = docker_pusher.images.resolve(f"127.0.0.1:{free_port()}/x:1")
    with pytest.raises(errors.Unavailable):
        docker_pusher.push(reference)
    docker_pusher.withdraw(reference)
    assert str(reference) not in docker_pusher.names()


@pytest.mark.engine
def test_who_no_longer_wants_it_ends_the_push(docker_pusher: Pusher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        reference = docker_pusher.images.resolve(f"127.0.0.1:{mute.getsockname()[1]}/x:1")
        with pytest.raises(errors.DriverError):
            docker_pusher.images.push(
                docker_pusher.made,
                reference,
                None,
                ignore,
                Deadline(PATIENCE, cancelled=lambda: True),
            )
    docker_pusher.withdraw(reference)


# -- those who wait --------------------------------------------------------------------------------------------------


def test_who_no_longer_wants_it_leaves_and_the_others_get_it(fake_source: Source) -> None:
    images = fake_source.images
    assert isinstance(images, FakeImages)
    text, digest = fake_source.publish(False)
    entered, go_on = threading.Event(), threading.Event()
    images.script("pull", Block(go_on, entered=entered))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(fake_source.ensure, text)
        assert entered.wait(PATIENCE)
        with pytest.raises(errors.Conflict):
            fake_source.ensure(text, deadline=Deadline(PATIENCE, cancelled=lambda: True))
        with pytest.raises(errors.TimedOut):
            fake_source.ensure(text, deadline=Deadline(0.05))
        go_on.set()
        assert other.result(PATIENCE).digest == digest
    assert images.called("pull") == 1


def test_progress_is_told_now_and_then(fake_source: Source) -> None:
    images = fake_source.images
    assert isinstance(images, FakeImages)
    text, _ = fake_source.publish(False)
    go_on = threading.Event()
    told: list[Mapping[str, Any]] = []

    def tell(progress: Mapping[str, Any]) -> None:
        told.append(progress)
        go_on.set()

    images.script("pull", Block(go_on))
    images.ensure(images.resolve(text), PRESENT, None, tell, soon())
    assert told == [{"status": "Pulling", "current": 0, "total": 0}]


@pytest.mark.engine
def test_a_waiter_leaves_a_registry_that_hangs(engine: Engine) -> None:
    images = DockerImages(engine)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        text = f"127.0.0.1:{mute.getsockname()[1]}/x"
        reference = images.resolve(text)
        with pytest.raises(errors.Conflict):
            images.ensure(
                reference, PRESENT, None, ignore, Deadline(PATIENCE, cancelled=lambda: True)
            )
        with pytest.raises(errors.TimedOut):
            images.ensure(reference, PRESENT, None, ignore, Deadline(0.3))
    # The registry is gone now, and with it the transfer: the next ensure waits for its end.
    with pytest.raises(errors.Unavailable):
        images.ensure(reference, PRESENT, None, ignore, soon())


@pytest.mark.engine
def test_a_dead_registry_is_unavailable(engine: Engine) -> None:
    images = DockerImages(engine)
    with pytest.raises(errors.Unavailable):
        images.ensure(images.resolve(f"127.0.0.1:{free_port()}/x"), PRESENT, None, ignore, soon())


def test_progress_counts_bytes_over_all_layers() -> None:
    """With the engine's own words: layers come and go, the sums do not shrink."""
    reference = Reference(domain="", path="x", tag="1", digest=None)
    transfer = Transfer(Key("x:1", None, False), reference)
    for line in (
        {"status": "Pulling from x", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 50}, "id": "b"},
        {"status": "Download complete", "progressDetail": {}, "id": "a"},
        {"status": "Extracting", "progressDetail": {"current": 1, "total": 100}, "id": "a"},
    ):
        transfer.tally.saw(line)
    assert transfer.tally.snapshot() == {"status": "Extracting", "current": 105, "total": 150}


@pytest.mark.engine
def test_an_image_that_is_used_stays(engine: Engine, busybox: str) -> None:
    images = DockerImages(engine)
    name = f"zun-test/{names.new_uuid()}"
    with engine.call("make an image and a container of it") as client:
        import_image(client, random_tar(100), name, "latest")
        container = client.create_container(name, "x")["Id"]
    with pytest.raises(errors.Conflict):
        images.remove(name, soon())
    with engine.call("clean up") as client:
        client.remove_container(container)
    images.remove(name, soon())


def test_remove_of_a_used_one_conflicts_on_the_fake_too(fake_source: Source) -> None:
    images = fake_source.images
    assert isinstance(images, FakeImages)
    text, _ = fake_source.publish(False)
    fake_source.ensure(text)
    images.use(text)
    with pytest.raises(errors.Conflict):
        images.remove(text, soon())


@pytest.mark.engine
def test_a_local_image_has_no_digest(engine: Engine, busybox: str) -> None:
    images = DockerImages(engine)
    image = images.ensure(images.resolve(NAME), NEVER, None, ignore, soon())
    assert (image.runtime_ref, image.digest) == (busybox, None)


# -- references ------------------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "domain", "path", "tag", "digest", "shown"),
    [
        ("busybox", "", "busybox", "latest", None, "busybox:latest"),
        ("busybox:1.36", "", "busybox", "1.36", None, "busybox:1.36"),
        ("library/busybox", "", "busybox", "latest", None, "busybox:latest"),
        ("docker.io/library/busybox:1", "", "busybox", "1", None, "busybox:1"),
        ("docker.io/me/app", "", "me/app", "latest", None, "me/app:latest"),
        ("me/app", "", "me/app", "latest", None, "me/app:latest"),
        ("quay.io/me/app:v1", "quay.io", "me/app", "v1", None, "quay.io/me/app:v1"),
        ("localhost/x", "localhost", "x", "latest", None, "localhost/x:latest"),
        ("h:5000/a/b_c/d-e:T", "h:5000", "a/b_c/d-e", "T", None, "h:5000/a/b_c/d-e:T"),
        ("HOST/x", "HOST", "x", "latest", None, "HOST/x:latest"),
        ("[::1]:5000/x", "[::1]:5000", "x", "latest", None, "[::1]:5000/x:latest"),
        (f"x@{DIGEST}", "", "x", "latest", DIGEST, f"x@{DIGEST}"),
        (f"h.org/x:1@{DIGEST}", "h.org", "x", "1", DIGEST, f"h.org/x@{DIGEST}"),
    ],
)
def test_a_reference_is_taken_apart(
    text: str, domain: str, path: str, tag: str, digest: str | None, shown: str
) -> None:
    for images in (FakeImages(), DockerImages(Engine())):
        found = images.resolve(text)
        assert found == Reference(domain=domain, path=path, tag=tag, digest=digest)
        assert str(found) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "/", "x/", "/x", "X", "x:", ":1", "x y", "x\n", "x:1\n", "x//y", "-x", "x-", "x..y", "x___y", "x@",
        "x@sha256:1", "x@md5:" + "a" * 32, f"x@{DIGEST.upper()}", "x:" + "t" * 129, "a" * 300, "a" * 64, "h:x/y",
        "h.org:99999999/x", "http://h/x", "../x", "x;rm", "é", "x:é", "a.b_/x",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_rejected(text: str) -> None:
    with pytest.raises(errors.Rejected):
        FakeImages().resolve(text)
