"""What ./cluster is made of, as far as it needs neither root nor an engine."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support.house import eventually
from tests.support.workbench import module

from zun.cmd import clouds

background, files, switch, parts = (
    module("background"), module("files"), module("switch"), module("cluster")
)  # fmt: skip


def _sleeper(folder: Path, *command: str) -> Any:
    words = command or ("sleep", "1000")
    return background.Background(
        name="sleeper", command=words, run=folder, log=folder / "log", mark=f"test{os.getpid()}"
    )


def test_a_process_is_known_by_number_and_beginning(tmp_path: Path) -> None:
    sleeper = _sleeper(tmp_path)
    assert sleeper.pid() is None
    assert not sleeper.stop()
    pid = sleeper.start()
    assert sleeper.pid() == pid
    # The same number, and another process.
    sleeper.pid_file.write_text(f"{pid} 12345\n")
    assert sleeper.pid() is None
    sleeper.pid_file.write_text(f"{pid} {background.began(pid)}\n")
    assert sleeper.stop()
    assert background.began(pid) is None
    assert not sleeper.pid_file.exists()


def test_a_process_that_hangs_is_stopped_too(tmp_path: Path) -> None:
    sleeper = _sleeper(tmp_path)
    pid = sleeper.start()
    sleeper.signal(signal.SIGSTOP)
    assert sleeper.stop()
    assert background.began(pid) is None


def test_a_number_alone_is_believed_of_the_program_it_is_for(tmp_path: Path) -> None:
    """As other programs write them, and older releases did."""
    sleeper = _sleeper(tmp_path)
    pid = sleeper.start()
    sleeper.pid_file.write_text(f"{pid}\n")
    assert sleeper.pid() is None
    assert replace(sleeper, name="sleep").pid() is None
    (tmp_path / "sleep.pid").write_text(f"{pid}\n")
    assert replace(sleeper, name="sleep").pid() == pid
    assert replace(sleeper, name="sleep").stop()
    eventually(lambda: background.began(pid) is None, "it ends")


def test_a_server_is_killed_with_its_children_and_never_by_a_stop(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 1000 & sleep 1000"
    sleeper = _sleeper(tmp_path, "sh", "-c", script)
    sleeper.ensure(["sh", "-c", script], lambda: len(background.marked(sleeper.mark)) == 3)
    pid = sleeper.pid()
    sleeper.ensure(["false"], lambda: True)  # it runs
    with pytest.raises(background.Trouble, match="does not end"):
        sleeper.stop(0.1, forcibly=False)
    assert sleeper.pid() == pid
    assert sleeper.kill(children=True)
    eventually(lambda: background.marked(sleeper.mark) == [], "all are gone")


def test_what_carries_the_mark_is_found_and_ended(tmp_path: Path) -> None:
    sleeper = _sleeper(tmp_path, "sh", "-c", "sleep 1000 & sleep 1000")
    pid = sleeper.start()
    sleeper.pid_file.unlink()
    eventually(lambda: len(background.marked(sleeper.mark)) == 3, "it and its two children run")
    assert pid in background.marked(sleeper.mark)
    assert background.end(lambda: background.marked(sleeper.mark)) == 3
    assert background.marked(sleeper.mark) == []


def test_one_that_ends_at_once_says_why(tmp_path: Path) -> None:
    sleeper = _sleeper(tmp_path, "sh", "-c", "echo no such thing; exit 1")
    sleeper.start()
    with pytest.raises(background.Trouble, match="no such thing"):
        sleeper.wait(lambda: False, 60, "is well")
    with pytest.raises(background.Trouble, match="can't be started"):
        _sleeper(tmp_path, "/no/such/program").start()


def test_options_of_a_user_do_not_reach_what_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DATABASE__CONNECTION", "sqlite:///elsewhere")
    shows = _sleeper(tmp_path, "env")
    shows.start()
    eventually(lambda: shows.pid() is None, "it ends")
    assert f"{background.MARK}={shows.mark}" in (tmp_path / "log").read_text()
    assert "elsewhere" not in (tmp_path / "log").read_text()


def test_private_files_are_private_from_the_first_moment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    files.write_private(file, files.ini({"a": {"b": "c$d", "n": 1}, "e": {}}))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "[a]\nb = c$$d\nn = 1\n\n[e]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_range_in_use_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [
        {"dst": "default"},
        {"dst": "172.29.0.7"},
        {"dst": "172.29.4.0/22"},
        {"dst": "fe80::/64"},
    ]
    monkeypatch.setattr(switch, "_ip_json", lambda *words, netns=None: routes)
    assert switch.free_subnet() == "172.29.8.0/24"
    routes.append({"dst": "172.16.0.0/12"})
    with pytest.raises(switch.Trouble, match="every range"):
        switch.free_subnet()


def test_names_follow_from_the_directory_and_fit(tmp_path: Path) -> None:
    one = parts.Cluster(tmp_path / "a", tmp_path)
    two = parts.Cluster(tmp_path / "b", tmp_path)
    assert one.tag != two.tag
    assert parts.Cluster(tmp_path / "a", tmp_path).tag == one.tag
    assert len(one.tag) <= 15  # of a link's name
    last = one.switch.netns(f"host-{switch.MOST_HOSTS}")
    assert last.startswith(one.tag)


def test_a_port_that_somebody_has_is_not_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = parts._free("127.0.0.1", port)
        assert other != port
    assert parts._free("127.0.0.1", other) == other


def test_a_damaged_memory_is_trouble_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(parts.Trouble) as caught:
        parts.Memory.load(tmp_path)
    assert "down" in caught.value.way_out


def test_help_teaches_and_a_wrong_line_is_told() -> None:
    command = [sys.executable, Path(__file__).parents[2] / "scripts" / "cluster.py"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("up", "down", "status", "logs", "kill", "pause", "cut", "openstack appcontainer"):
        assert word in helped
    assert "\033" not in helped
    for words in (["logs"], ["up", "host-1"], ["up", "--hosts", "0"], ["nonsense"]):
        ended = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert ended.returncode == 2, words


def test_clouds_are_copied_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = {"auth": {"auth_url": "http://elsewhere/v3", "username": "ann"}}
    ours = {"auth": {"auth_url": "http://172.29.0.1:5000/v3", "password": "a"}, "region_name": "R"}
    source, target = tmp_path / "source", tmp_path / "clouds.yaml"
    YAML().dump({"clouds": {"c": ours, "other": ours}}, source)
    YAML().dump({"clouds": {"work": theirs}}, target)
    copy = [str(source), "c", "--clouds-yaml", str(target)]
    assert clouds.main(copy) == 0
    assert YAML(typ="safe").load(target)["clouds"] == {"work": theirs, "c": ours}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    changed = {"auth": {**ours["auth"], "password": "b"}, "region_name": "R"}
    YAML().dump({"clouds": {"c": changed}}, source)
    assert clouds.main(copy) == 0
    assert YAML(typ="safe").load(target)["clouds"]["c"] == changed
    # Another Keystone's cloud of this name is somebody's.
    YAML().dump({"clouds": {"work": ours}}, source)
    assert clouds.main([str(source), "work", "--clouds-yaml", str(target)]) == 1
    assert "choose another name" in capsys.readouterr().err
    YAML().dump({"clouds": {"c": changed, "work": ours}}, source)
    assert clouds.main([str(source), "c", "work", "--remove", "--clouds-yaml", str(target)]) == 0
    assert YAML(typ="safe").load(target)["clouds"] == {"work": theirs}


def test_control_groups_that_go_while_they_are_listed_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "goes/below").mkdir(parents=True)
    listed = iter(module("hosts").folders(tmp_path))
    assert next(listed) == tmp_path
    # As an engine does with those of a container that ends.
    (tmp_path / "goes/below").rmdir()
    (tmp_path / "goes").rmdir()
    assert list(listed) == []
    assert list(module("hosts").folders(tmp_path / "goes")) == []
