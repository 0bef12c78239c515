"""The contract of a volume driver, on the fake and on files of this host."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.lab import soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake import FakeVolumes
from zun.drivers.files import FileVolumes
from zun.drivers.volume import VolumeRequest
from zun.model import names


@pytest.fixture(params=["fake", "files"])
def volumes(request: pytest.FixtureRequest, tmp_path: Path) -> FakeVolumes | FileVolumes:
    return FakeVolumes() if request.param == "fake" else FileVolumes(tmp_path / "state")


def wish(
    uuid: str, index: int = 0, destination: str = "/etc/x", content: bytes | None = b"hello"
) -> VolumeRequest:
    return VolumeRequest(container_uuid=uuid, index=index, destination=destination, content=content)


def test_ensure_and_release(volumes: FakeVolumes | FileVolumes) -> None:
    one, two = sorted((names.new_uuid(), names.new_uuid()))
    assert list(volumes.list()) == []
    facts = volumes.ensure(wish(one), soon())
    assert volumes.ensure(wish(one), soon()) == facts
    other = volumes.ensure(wish(one, index=1, destination="/etc/y"), soon())
    volumes.ensure(wish(two), soon())
    spec = volumes.mount_spec(facts)
    assert spec.destination == "/etc/x"
    assert volumes.mount_spec(other).source != spec.source
    assert "hello" not in str(facts)
    assert list(volumes.list()) == [one, two]
    for _ in range(2):
        volumes.release(one, soon())
    assert list(volumes.list()) == [two]


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": "/"},
        {"destination": ""},
        {"destination": "etc/x"},
        {"destination": "/etc/../x"},
        {"destination": "/etc//x"},
        {"destination": "//etc"},
        {"destination": "/etc/x/"},
        {"destination": "/etc/./x"},
        {"destination": "/etc/\0x"},
        {"index": -1},
        {"index": 10**6},
        {"content": None},
        {"uuid": "../../etc"},
        {"uuid": "x"},
        {"uuid": ""},
    ],
)
def test_what_could_go_astray_is_rejected(
    volumes: FakeVolumes | FileVolumes, changes: dict[str, str]
) -> None:
    settings = {"uuid": names.new_uuid(), **changes}
    with pytest.raises(errors.Rejected):
        volumes.ensure(wish(**settings), soon())  # type: ignore[arg-type]
    assert list(volumes.list()) == []


def test_release_takes_no_path(volumes: FakeVolumes | FileVolumes) -> None:
    with pytest.raises(errors.Rejected):
        volumes.release("..", soon())


def test_nothing_is_done_past_the_deadline(volumes: FakeVolumes | FileVolumes) -> None:
    with pytest.raises(errors.TimedOut):
        volumes.ensure(wish(names.new_uuid()), Deadline(0))
    assert list(volumes.list()) == []


def test_files_are_whole_and_private(tmp_path: Path) -> None:
    volumes, uuid = FileVolumes(tmp_path), names.new_uuid()
    content = bytes(range(256))
    source = Path(volumes.mount_spec(volumes.ensure(wish(uuid, content=content), soon())).source)
    assert source == tmp_path / "files" / uuid / "0"
    assert source.read_bytes() == content
    assert source.stat().st_mode & 0o777 == 0o644
    assert source.parent.stat().st_mode & 0o777 == 0o700
    assert source.parent.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in source.parent.iterdir()] == ["0"]


def test_a_file_in_use_is_not_exchanged_unless_it_changes(tmp_path: Path) -> None:
    volumes, uuid = FileVolumes(tmp_path), names.new_uuid()
    source = Path(volumes.mount_spec(volumes.ensure(wish(uuid), soon())).source)
    first = source.stat().st_ino
    volumes.ensure(wish(uuid), soon())
    assert source.stat().st_ino == first
    volumes.ensure(wish(uuid, content=b"other"), soon())
    assert source.read_bytes() == b"other"


def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(errors.Unavailable) as e:
        FileVolumes(tmp_path).ensure(wish(names.new_uuid()), soon())
    assert str(tmp_path) not in e.value.public
