"""The files for operators name what there is."""

from __future__ import annotations

import configparser
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.workbench import module

from zun.cmd import arguments

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
UNITS = sorted((ROOT / "etc/systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_units_start_a_command_with_arguments_it_knows(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    program, *words = parser["Service"]["ExecStart"].split()
    assert Path(program).name == unit.stem
    assert unit.stem in SCRIPTS
    made = arguments.parser(unit.stem, "").parse_args(words)
    directory = parser["Service"]["StateDirectory"]
    assert made.state_dir == f"/var/lib/{directory}"


def test_there_is_a_unit_for_each_process() -> None:
    processes = {"zun-standalone", "zun-api", "zun-conductor", "zun-compute", "zun-streams"}
    assert processes <= {unit.stem for unit in UNITS}


def test_the_images_are_those_of_the_processes() -> None:
    text = (ROOT / "Containerfile").read_text()
    targets = set(module("images").targets())
    assert (
        {"zun-api", "zun-conductor", "zun-compute", "zun-streams", "zun-db-manage"}
        <= targets
        <= set(SCRIPTS)
    )
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zun-nonsense"], "no such process: zun-nonsense; there are zun-db-manage, zun-api"),
        (["--prefix", "Not/Lower/"], "--prefix must be lower case"),
        (["--tag", "two words"], "--tag must be"),
    ],
)
def test_build_images_says_what_is_wrong_before_it_does_anything(
    words: list[str], said: str
) -> None:
    command = [sys.executable, str(ROOT / "scripts/build_images.py"), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr


def test_an_engine_is_sent_what_images_are_built_of_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    text = (ROOT / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert {name.split("/")[0] for names in copied for name in names.split()} == sent


def test_settings_of_wsgi_servers_name_the_application() -> None:
    uwsgi = configparser.ConfigParser(strict=False, interpolation=None)
    uwsgi.read(ROOT / "etc/uwsgi/zun-api.ini")
    assert uwsgi["uwsgi"]["module"] == "zun.wsgi.api:application"
    gunicorn = runpy.run_path(str(ROOT / "etc/gunicorn/zun-api.conf.py"))
    assert gunicorn["worker_class"] == "gthread"
    assert gunicorn["raw_env"] == ["OS_ZUN_CONFIG_FILES=/etc/zun/zun.conf"]


def test_entry_points_lead_somewhere() -> None:
    for name, target in SCRIPTS.items():
        module, _, function = target.partition(":")
        path = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
        assert f"def {function}(" in path.read_text(), name
