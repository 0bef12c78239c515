"""The files for operators name what there is."""

from __future__ import annotations

import configparser
import re
import runpy
import tomllib
from pathlib import Path

import pytest

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
    targets = set(re.findall(r"^FROM base AS (\S+)$", text, re.MULTILINE))
    assert (
        {"zun-api", "zun-conductor", "zun-compute", "zun-streams", "zun-db-manage"}
        <= targets
        <= set(SCRIPTS)
    )
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name


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
