"""clouds.yaml and the identity files: made once, kept, merged, never spoilt."""

from __future__ import annotations

import argparse
import stat
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from ruamel.yaml import YAML

from zun import conf
from zun.cmd import clouds, credentials, init

ENTRY = clouds.http_basic_entry("http://127.0.0.1:9517", "admin", "secret")

OTHERS = """\
# my clouds
cache:
    expiration_time: 3600
clouds:
    work:   # the company's
        auth:
            auth_url: "https://keystone.example.com/v3"
            username: 'ann'
            password: "with: colon # and hash"
        regions:
            - one
            - two
        verify: yes
    # one at home
    home: {auth_type: none, auth: {endpoint: 'http://127.0.0.1:1/v1'}}
"""


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return loaded


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_is_made_private_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "config" / "openstack" / "clouds.yaml"
    assert clouds.merge(path, "zun", ENTRY)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert load(path) == {"clouds": {"zun": ENTRY}}
    assert load(path)["clouds"]["zun"]["auth"]["endpoint"] == "http://127.0.0.1:9517/v1"


def test_other_clouds_and_comments_stay_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(OTHERS)
    path.chmod(0o644)
    assert clouds.merge(path, "zun", ENTRY)
    assert path.read_text().startswith(OTHERS)
    assert mode(path) == 0o600
    assert load(path)["clouds"]["zun"] == ENTRY
    assert clouds.remove(path, "zun")
    assert path.read_text() == OTHERS


@pytest.mark.parametrize(
    "text",
    [
        OTHERS,
        "clouds:\n  a:\n    regions:\n    - one\n    - two\n  b: {}\n",
        "clouds:\n  a:\n    regions:\n      - one\n",
        "clouds:\n a:\n  auth_type: password\n",
        "---\n# head\nclouds:\n  a: &base\n    verify: false\n  b:\n    <<: *base\n",
    ],
)
def test_layout_survives_merge_and_remove(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    assert clouds.merge(path, "zun", ENTRY)
    assert path.read_text().startswith(text)
    assert clouds.remove(path, "zun")
    assert path.read_text() == text


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    clouds.merge(path, "zun", ENTRY)
    before = path.stat()
    assert not clouds.merge(path, "zun", ENTRY)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_a_user_added_to_our_entry_stays(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    clouds.merge(path, "zun", {**ENTRY, "region_name": "here"})
    assert clouds.merge(path, "zun", clouds.http_basic_entry("http://127.0.0.1:1", "admin", "new"))
    assert load(path)["clouds"]["zun"]["region_name"] == "here"
    assert load(path)["clouds"]["zun"]["auth"]["password"] == "new"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "clouds:\n", "clouds: {}\n", "{}\n"])
def test_an_empty_file_is_filled(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    assert clouds.merge(path, "zun", ENTRY)
    assert load(path) == {"clouds": {"zun": ENTRY}}


@pytest.mark.parametrize(
    "text",
    [
        "clouds: [unclosed\n",
        "clouds:\n  a: 1\n  a: 2\n",
        "- a list\n",
        "clouds: 7\n",
        "clouds:\n\t- tab\n",
        "clouds:\n  zun:\n    auth: {auth_url: 'https://real.example.com/v3'}\n",
    ],
)
def test_a_file_that_can_not_be_merged_is_refused_and_untouched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    with pytest.raises(clouds.CloudsError, match=r"clouds\.yaml"):
        clouds.merge(path, "zun", ENTRY)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "clouds.yaml"
    real.write_text("clouds: {}\n")
    link.symlink_to(real)
    clouds.merge(link, "zun", ENTRY)
    assert link.is_symlink()
    assert load(real)["clouds"]["zun"] == ENTRY


def test_removal_leaves_no_file_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    assert not clouds.remove(path, "zun")
    clouds.merge(path, "zun", ENTRY)
    assert clouds.remove(path, "zun")
    assert not path.exists()


def test_credentials_are_made_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = credentials.ensure(state)
    assert mode(state) == 0o700
    assert {file.name for file in first.written} == {
        "password",
        "htpasswd",
        "identities.yaml",
        "auth_encryption_key",
    }
    assert all(mode(file) == 0o600 for file in first.written)
    second = credentials.ensure(state)
    assert second.password == first.password
    assert second.written == ()


def test_htpasswd_and_identities_say_who_admin_is(tmp_path: Path) -> None:
    made = credentials.ensure(tmp_path)
    user, _, digest = (tmp_path / "htpasswd").read_text().strip().partition(":")
    assert user == made.username == "admin"
    assert bcrypt.checkpw(made.password.encode(), digest.encode())
    identity = load(tmp_path / "identities.yaml")["admin"]
    assert set(identity) == {"user_id", "project_id", "project_name", "roles"}
    assert identity["roles"] == ["admin", "member", "reader"]
    assert len((tmp_path / "auth_encryption_key").read_text().strip()) == 32


def test_other_users_stay_when_the_password_changes(tmp_path: Path) -> None:
    credentials.ensure(tmp_path)
    identities = (tmp_path / "identities.yaml").read_text() + "ann: {project_id: p, roles: []}\n"
    (tmp_path / "identities.yaml").write_text(identities)
    htpasswd = (tmp_path / "htpasswd").read_text()
    (tmp_path / "htpasswd").write_text("ann:$2b$05$x\n" + htpasswd)
    (tmp_path / "password").write_text("chosen by hand\n")
    made = credentials.ensure(tmp_path)
    assert made.password == "chosen by hand"
    assert [file.name for file in made.written] == ["htpasswd"]
    lines = (tmp_path / "htpasswd").read_text().splitlines()
    assert lines[0] == "ann:$2b$05$x"
    assert bcrypt.checkpw(b"chosen by hand", lines[1].partition(":")[2].encode())
    assert (tmp_path / "identities.yaml").read_text() == identities


def test_broken_identities_are_refused(tmp_path: Path) -> None:
    (tmp_path / "identities.yaml").write_text("{")
    with pytest.raises(credentials.CredentialsError, match=r"identities\.yaml"):
        credentials.ensure(tmp_path)


def run_init(tmp_path: Path, *argv: str, **overrides: object) -> int:
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    args = parser.parse_args(["--clouds-yaml", str(tmp_path / "clouds.yaml"), *argv])
    settings = conf.load([], overrides={"state_path": str(tmp_path / "state"), **overrides})
    return init.run(settings, args)


def test_init_twice_then_removal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_init(tmp_path, **{"api.port": 1234}) == 0
    assert "written to" in capsys.readouterr().out
    assert load(tmp_path / "clouds.yaml")["clouds"]["zun"]["auth"]["endpoint"] == (
        "http://127.0.0.1:1234/v1"
    )
    assert run_init(tmp_path, **{"api.port": 1234}) == 0
    assert capsys.readouterr().out == f"cloud 'zun': already in {tmp_path / 'clouds.yaml'}\n"
    assert run_init(tmp_path, "--remove-cloud") == 0
    assert not (tmp_path / "clouds.yaml").exists()


def test_init_names_the_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: [")
    assert run_init(tmp_path) == 1
    assert "is not valid YAML" in capsys.readouterr().err


def test_init_without_authentication(tmp_path: Path) -> None:
    assert run_init(tmp_path, "--cloud", "free", **{"api.auth_strategy": "noauth"}) == 0
    assert load(tmp_path / "clouds.yaml")["clouds"]["free"]["auth_type"] == "none"
