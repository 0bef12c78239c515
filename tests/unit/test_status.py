"""`zun-status upgrade check` finds what it is there to find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_upgradecheck.upgradecheck import Code
from tests.support.house import Fakes, Rig, caller, make

from zun import conf
from zun.bus import RPC_VERSION
from zun.cmd import status
from zun.model.container import Draft
from zun.model.process import Process
from zun.store import processes, schema
from zun.work.clock import utcnow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = make(tmp_path, Fakes())
    yield made
    made.db.close()


def settings(tmp_path: Path, text: str = "") -> conf.cfg.ConfigOpts:
    path = tmp_path / "zun.conf"
    path.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\nauth_encryption_key = {'k' * 32}\n{text}")
    return conf.load([path])


def test_the_schema(tmp_path: Path, rig: Rig) -> None:
    said = settings(tmp_path)
    assert status.check_database(said).code == Code.SUCCESS
    for revision, code in (("0001", Code.FAILURE), ("9999", Code.WARNING)):
        with rig.db.write() as conn:
            conn.execute(sa.text("UPDATE alembic_version SET version_num = :at"), {"at": revision})
        assert status.check_database(said).code == code
    absent = settings(tmp_path, "[database]\nconnection = sqlite:////absent/x.sqlite\n")
    assert status.check_database(absent).code == Code.FAILURE


def test_what_is_left_of_standalone(tmp_path: Path) -> None:
    result = status.check_configuration(settings(tmp_path, "[api]\nworkers = 4\n"))
    assert result.code == Code.WARNING
    assert "http_basic" in result.details
    assert "SQLite" in result.details
    assert "workers" in result.details
    noauth = status.check_configuration(settings(tmp_path, "[api]\nauth_strategy = noauth\n"))
    assert noauth.code == Code.FAILURE
    plain = status.check_configuration(settings(tmp_path, "[agent_streams]\nhost_ip = 10.0.0.1\n"))
    assert plain.code == Code.FAILURE
    assert "allow_plain_text" in plain.details


def test_credentials_that_only_the_check_reads(tmp_path: Path) -> None:
    """Those of upstream's [keystone_auth] are tried where they are given, and are not said to be read by nobody."""
    keystone = (
        "auth_type = password\nauth_url = http://127.0.0.1:1/v3\nusername = zun\npassword = p\n"
        "project_name = service\nuser_domain_id = default\nproject_domain_id = default\n"
    )
    text = f"[api]\nauth_strategy = keystone\n[keystone_authtoken]\n{keystone}"
    without = settings(tmp_path, text)
    assert "[keystone_auth]" not in str(status.check_identity(without).details)
    given = settings(tmp_path, f"{text}[keystone_auth]\n{keystone}")
    assert "[keystone_auth]: ConnectFailure" in str(status.check_identity(given).details)
    assert "keystone_auth" not in str(status.check_configuration(given).details)


def test_the_published_key(tmp_path: Path, rig: Rig) -> None:
    assert status.check_keys(settings(tmp_path)).code == Code.SUCCESS
    path = tmp_path / "zun.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nauth_encryption_key = notgood but just enough i think\n"
    )
    result = status.check_keys(conf.load([path]))
    assert result.code == Code.FAILURE
    assert "published" in result.details


def test_a_message_queue_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status.check_messages(settings(tmp_path)).code == Code.FAILURE
    monkeypatch.setattr(status, "_PATIENCE", 0.5)
    result = status.check_messages(settings(tmp_path, "transport_url = rabbit://127.0.0.1:1/\n"))
    assert result.code == Code.FAILURE
    assert "no message is taken" in result.details


def test_processes_of_other_releases(tmp_path: Path, rig: Rig) -> None:
    said, now = settings(tmp_path), utcnow()
    assert status.check_processes(said).code == Code.SUCCESS
    old = Process(
        name="zun-compute-0@h", binary="zun-compute", host="h", version="0.0.1", rpc=RPC_VERSION,
        started_at=now, seen_at=now,
    )  # fmt: skip
    with rig.db.write() as conn:
        processes.record(conn, old)
    result = status.check_processes(said)
    assert (result.code, "0.0.1" in result.details) == (Code.WARNING, True)
    with rig.db.write() as conn:
        processes.record(conn, replace(old, rpc="1.99"))
    assert status.check_processes(said).code == Code.WARNING, "a newer minor version fits"
    with rig.db.write() as conn:
        processes.record(conn, replace(old, rpc="2.0"))
    result = status.check_processes(said)
    assert result.code == Code.FAILURE
    assert (
        f"zun-compute-0@h speaks version 2.0 of the protocol between processes, this release {RPC_VERSION}"
        in (result.details)
    )


def test_steps_that_nobody_knows(tmp_path: Path, rig: Rig) -> None:
    said = settings(tmp_path)
    rig.house.services.containers.create(caller(), Draft(image="busybox", run=True))
    assert status.check_steps(said).code == Code.SUCCESS
    with rig.db.write() as conn:
        conn.execute(schema.operations.update().values(steps=["place", "teleport"]))
    result = status.check_steps(said)
    assert result.code == Code.FAILURE
    assert "teleport" in result.details


@pytest.mark.filterwarnings("ignore:the 'ALL' constant:DeprecationWarning")  # oslo.upgradecheck's
def test_the_command_ends_with_the_gravest(
    tmp_path: Path, rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    code = status.main(["--config-file", str(tmp_path / "zun.conf"), "upgrade", "check"])
    assert code == Code.FAILURE
    said = capsys.readouterr().out
    for title, _ in status.CHECKS:
        assert title in said
    assert "transport_url" in said
