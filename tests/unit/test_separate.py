"""What keeps a separate process from beginning is said in words; and the names they have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.house import Fakes, make

from zun.cmd import api, arguments, compute, conductor, process, streams
from zun.cmd.credentials import CredentialsError
from zun.conf import load
from zun.store import processes
from zun.store.database import Database
from zun.work.clock import utcnow

RABBIT = "transport_url = rabbit://u:p@127.0.0.1:1/\n"
COMMANDS = [api.main, compute.main, conductor.main, streams.main]


def configured(tmp_path: Path, text: str, *, schema: bool = True) -> list[str]:
    """Arguments of a command with this configuration, on a fresh database."""
    if schema:
        make(tmp_path, Fakes()).db.close()
    path = tmp_path / "zun.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nhost = host-1\nauth_encryption_key = {'k' * 32}\n{text}"
    )
    return ["--config-file", str(path)]


@pytest.mark.parametrize("main", COMMANDS)
def test_without_a_message_queue(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(configured(tmp_path, "")) == 1
    assert "transport_url is not set" in capsys.readouterr().err


@pytest.mark.parametrize("main", COMMANDS)
def test_with_a_message_queue_of_another_kind(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(configured(tmp_path, "transport_url = kafka://h/\n")) == 1
    assert "'kafka'" in capsys.readouterr().err


@pytest.mark.parametrize("main", COMMANDS)
def test_without_a_schema(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(configured(tmp_path, RABBIT, schema=False)) == 1
    assert "zun-db-manage upgrade" in capsys.readouterr().err


def test_sqlite_with_hosts_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments_ = configured(tmp_path, RABBIT)
    rig = make(tmp_path, Fakes())
    rig.house.agent.start()
    assert rig.house.agent.stop(10)
    rig.db.close()
    (tmp_path / "zun.conf").write_text(
        (tmp_path / "zun.conf").read_text().replace("host = host-1", "host = host-2")
    )
    assert conductor.main(arguments_) == 1
    said = capsys.readouterr().err
    assert "SQLite" in said
    assert "host-1" in said


def test_keystone_without_credentials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert api.main(configured(tmp_path, RABBIT + "[api]\nauth_strategy = keystone\n")) == 1
    assert "[keystone_authtoken]" in capsys.readouterr().err


def test_streams_that_are_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert streams.main(configured(tmp_path, RABBIT + "[streams]\nenabled = false\n")) == 1
    assert "enabled = false" in capsys.readouterr().err


def test_a_database_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RABBIT + f"[database]\nconnection = sqlite:///{tmp_path}/absent/x.sqlite\n"
    assert conductor.main(configured(tmp_path, text, schema=False)) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("main", COMMANDS)
def test_help_and_version(main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--help", "--version"):
        with pytest.raises(SystemExit) as ended:
            main([word])
        assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--config-file" in said
    assert "OS_<GROUP>__<OPTION>" in said


def test_numbers_of_processes_are_taken_and_given_back(tmp_path: Path) -> None:
    first, number = process.slot(tmp_path, "zun-api")
    second, other = process.slot(tmp_path, "zun-api")
    third, apart = process.slot(tmp_path, "zun-conductor")
    assert (number, other, apart) == (0, 1, 0)
    first.close()
    again, number = process.slot(tmp_path, "zun-api")
    assert number == 0
    for handle in (second, third, again):
        handle.close()


def test_who_tries_again_holds_nothing_of_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a WSGI server tries every second: each try would take one of the numbers, and connections."""
    conf = load(configured(tmp_path, RABBIT)[1:], prog="zun-api")

    def refuse(*_: object) -> None:
        raise CredentialsError("no")

    monkeypatch.setattr("zun.cmd.keys.check", refuse)
    with pytest.raises(CredentialsError) as kept:
        api.build(conf)
    again, number = process.slot(tmp_path, "zun-api")
    again.close()
    assert (number, str(kept.value)) == (0, "no")


def test_a_wsgi_server_gets_no_application_that_lets_everybody_in(tmp_path: Path) -> None:
    said = configured(tmp_path, RABBIT + "[api]\nauth_strategy = noauth\n")
    done = subprocess.run(
        [sys.executable, "-c", "import zun.wsgi.api"],
        env={"OS_ZUN_CONFIG_FILES": said[1], "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "noauth makes everybody the administrator" in done.stdout + done.stderr


def test_a_process_is_recorded_while_it_runs(tmp_path: Path) -> None:
    from zun.model.process import Process
    from zun.service.presence import Presence

    db = Database(f"sqlite:///{tmp_path / 'zun.sqlite'}")
    make(tmp_path, Fakes()).db.close()
    now = utcnow()
    me = Process(
        name="zun-api-0@h", binary="zun-api", host="h", version="1", rpc="1.0", started_at=now, seen_at=now
    )  # fmt: skip
    presence = Presence(db, utcnow, me)
    presence.start()
    with db.read() as conn:
        (found,) = processes.since(conn, now)
    assert (found.name, found.rpc) == ("zun-api-0@h", "1.0")
    presence.stop()
    with db.read() as conn:
        assert processes.since(conn, now) == []
    db.close()


def test_what_is_expected_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments.failed("zun-x", arguments.CannotServe("why")) == 1
    assert capsys.readouterr().err == "zun-x: why\n"
