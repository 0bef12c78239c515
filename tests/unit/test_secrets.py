"""Secrets at rest: keys, rotation, and who sees a registry's password (defect 13.2-10)."""

from __future__ import annotations

import logging
import secrets as random
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.house import KEY, PROJECT, Fakes, Rig, caller, running

from zun import conf
from zun.cmd import credentials, db_manage, keys
from zun.cmd.credentials import CredentialsError
from zun.drivers.image import Credentials
from zun.model.container import Container, Draft
from zun.service.errors import Conflict, NotFound
from zun.service.registries import RegistryDraft
from zun.store import registries, schema
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.secrets import BadKey, Secrets, Unreadable

OLD, NEW = "o" * 32, "n" * 32
PASSWORD = "correct horse battery staple"


# ---- keys


def test_sealed_and_opened() -> None:
    secrets = Secrets([OLD])
    token = secrets.seal(PASSWORD)
    assert PASSWORD not in token and secrets.seal(PASSWORD) != token
    assert secrets.open(token) == PASSWORD
    assert OLD not in repr(secrets) + str(vars(secrets))
    with pytest.raises(Unreadable):
        Secrets([NEW]).open(token)
    with pytest.raises(Unreadable):
        secrets.open(token[:-4] + "AAA=")


def test_the_newest_key_seals_and_all_open() -> None:
    token = Secrets([OLD]).seal(PASSWORD)
    both = Secrets([NEW, OLD])
    assert both.open(token) == PASSWORD
    renewed = both.renewed(token)
    assert renewed is not None and Secrets([NEW]).open(renewed) == PASSWORD
    assert both.renewed(renewed) is None


@pytest.mark.parametrize("wrong", [[], [""], ["short"], [OLD, "x" * 33], ["\N{SNOWMAN}" * 32]])
def test_no_key_or_a_wrong_one_is_refused_without_showing_it(wrong: list[str]) -> None:
    with pytest.raises(BadKey) as caught:
        Secrets(wrong)
    assert not any(key and key in str(caught.value) for key in wrong)


def _conf(state: Path, **options: Any) -> Any:
    return conf.load([], overrides={"state_path": str(state), **options})


def test_keys_come_from_the_state_directory(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="auth_encryption_key is missing"):
        keys.load(_conf(tmp_path))
    credentials.ensure(tmp_path)
    token = keys.load(_conf(tmp_path)).seal("x")
    file = tmp_path / "auth_encryption_key"
    file.write_text(f"{NEW}\n{file.read_text()}")
    assert keys.load(_conf(tmp_path)).open(token) == "x"
    for broken in ("", "tooshort\n", f"{NEW}\nx\n"):
        file.write_text(broken)
        with pytest.raises(CredentialsError, match="auth_encryption_key") as caught:
            keys.load(_conf(tmp_path))
        assert NEW not in str(caught.value)


def test_keys_of_the_option_win(tmp_path: Path) -> None:
    path = tmp_path / "zun.conf"
    path.write_text(f"[DEFAULT]\nauth_encryption_key = {NEW}\nauth_encryption_key = {OLD}\n")
    secrets = keys.load(conf.load([path], overrides={"state_path": str(tmp_path)}))
    assert secrets.open(Secrets([OLD]).seal("x")) == "x"
    assert Secrets([NEW]).open(secrets.seal("x")) == "x"


def test_defect_10_the_key_is_no_constant(tmp_path: Path) -> None:
    made = set()
    for name in ("a", "b"):
        credentials.ensure(tmp_path / name)
        made.add((tmp_path / name / "auth_encryption_key").read_text().strip())
    assert len(made) == 2 and {len(key) for key in made} == {32}
    (option,) = [o for _, opts in conf.list_opts() for o in opts if o.name == "auth_encryption_key"]
    assert option.default is None and option.secret


# ---- rotation


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with an empty database and two registries with passwords under its key."""
    credentials.ensure(tmp_path)
    assert db_manage.main(["--state-dir", str(tmp_path), "upgrade"]) == 0
    return tmp_path


def _database(state: Path) -> Database:
    return Database(f"sqlite:///{state / 'zun.sqlite'}")


def _put(db: Database, secrets: Secrets, number: int, password: str | None) -> str:
    uuid = f"00000000-0000-4000-8000-{number:012}"
    token = None if password is None else secrets.seal(password)
    with db.write() as conn:
        conn.execute(
            schema.registries.insert().values(
                uuid=uuid, domain="d", username="u", password=token, project_id=PROJECT, user_id="u",
                created_at=sa.func.current_timestamp(),
            )
        )  # fmt: skip
    return uuid


def test_rotation(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db, old = _database(state), keys.load(_conf(state))
    for number, password in enumerate((PASSWORD, "another", None)):
        _put(db, old, number, password)
    file = state / "auth_encryption_key"
    first = file.read_text().strip()
    rotate = ["--state-dir", str(state), "rotate-secrets"]
    assert db_manage.main(rotate) == 0
    assert "0 of 2" in capsys.readouterr().out
    newest = random.token_hex(16)
    file.write_text(f"{newest}\n{first}\n")
    assert db_manage.main(rotate) == 0
    assert "2 of 2" in capsys.readouterr().out
    file.write_text(f"{newest}\n")
    keys.check(db, keys.load(_conf(state)))
    with db.read() as conn:
        opened = [Secrets([newest]).open(token) for _, token in registries.sealed(conn)]
    assert opened == [PASSWORD, "another"]
    db.close()


def test_a_lost_key_stops_the_start_and_the_rotation(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = _database(state)
    _put(db, Secrets([NEW]), 1, "fine")
    locked = _put(db, Secrets([OLD]), 2, "lost")
    (state / "auth_encryption_key").write_text(f"{NEW}\n")
    with pytest.raises(CredentialsError, match=f"1 registries.*{locked}"):
        keys.check(db, keys.load(_conf(state)))
    (state / "auth_encryption_key").write_text(f"{'x' * 32}\n{NEW}\n")
    assert db_manage.main(["--state-dir", str(state), "rotate-secrets"]) == 1
    assert "further line" in capsys.readouterr().err
    with db.read() as conn:
        assert Secrets([NEW]).open(dict(registries.sealed(conn))[_uuid(1)]) == "fine"  # untouched
    db.close()


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def test_a_password_set_meanwhile_is_left_alone(state: Path) -> None:
    db, secrets = _database(state), Secrets([NEW])
    uuid = _put(db, secrets, 1, "meanwhile")
    with db.write() as conn:
        assert not registries.reseal(conn, uuid, "what was read before", secrets.seal("old"))
    db.close()


# ---- at a pull


def _registry(rig: Rig, domain: str = "r.example.com:5000", **fields: Any) -> str:
    fields = {"username": "bob", "password": PASSWORD, "name": "mine", **fields}
    return rig.house.services.registries.create(
        caller(), RegistryDraft(domain=domain, **fields)
    ).uuid


def _private(
    domain: str = "r.example.com:5000", username: str = "bob", password: str = PASSWORD
) -> Fakes:
    fakes = Fakes()
    fakes.images._anything = False
    fakes.images.publish(
        f"{domain}/team/app", credentials=Credentials(username=username, password=password)
    )
    return fakes


def _pulled(rig: Rig, image: str, registry: str) -> Container:
    row = rig.settled(rig.create(Draft(image=image, registry=registry, run=True)).uuid)
    assert row is not None
    return row


def _everything(rig: Rig) -> str:
    """All that the database holds, as text."""
    with rig.db.read() as conn:
        return str(
            [conn.execute(sa.select(table)).all() for table in schema.metadata.sorted_tables]
        )


def test_an_image_without_a_domain_comes_from_the_registry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), running(tmp_path, _private()) as rig:
        uuid = _registry(rig)
        for image in ("team/app", "r.example.com:5000/team/app", "team/app:latest"):
            row = _pulled(rig, image, uuid)
            assert (row.status, row.image, row.registry_id) == ("Running", image, uuid), (
                row.status_reason
            )
            rig.fakes.images.forget("r.example.com:5000/team/app")
        assert PASSWORD not in _everything(rig)
    assert PASSWORD not in caplog.text


def test_a_wrong_password_is_an_error_that_does_not_tell_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), running(tmp_path, _private()) as rig:
        row = _pulled(rig, "team/app", _registry(rig, password="wrong and secret"))
        assert row.status == "Error" and "refuses" in str(row.status_reason)
        assert "wrong and secret" not in _everything(rig) + caplog.text


def test_a_changed_password_counts_from_the_next_pull_on(tmp_path: Path) -> None:
    with running(tmp_path, _private()) as rig:
        uuid, service = _registry(rig, password="old"), rig.house.services.registries
        assert _pulled(rig, "team/app", uuid).status == "Error"
        service.update(service.find(caller(), uuid), {"password": PASSWORD})
        assert _pulled(rig, "team/app", "mine").status == "Running"


@pytest.mark.parametrize("image", ["evil.example.com/team/app", "docker.io/team/app"])
def test_credentials_go_to_their_own_registry_alone(tmp_path: Path, image: str) -> None:
    fakes = _private("evil.example.com")
    fakes.images.publish("team/app", credentials=Credentials(username="bob", password=PASSWORD))
    with running(tmp_path, fakes) as rig:
        row = _pulled(rig, image, _registry(rig))
        assert row.status == "Error" and "refuses" in str(row.status_reason)


def test_credentials_are_used_only_with_a_username(tmp_path: Path) -> None:
    fakes = Fakes()
    fakes.images._anything = False
    fakes.images.publish("open.example.com/team/app")
    with running(tmp_path, fakes) as rig:
        registry = _registry(rig, "open.example.com", username=None)
        assert _pulled(rig, "team/app", registry).status == "Running"


def test_the_hub_is_a_registry_too(tmp_path: Path) -> None:
    fakes = Fakes()
    fakes.images._anything = False
    fakes.images.publish("team/app", credentials=Credentials(username="bob", password=PASSWORD))
    with running(tmp_path, fakes) as rig:
        assert _pulled(rig, "team/app", _registry(rig, "docker.io")).status == "Running"


def test_a_word_that_is_no_domain_gets_no_password(tmp_path: Path) -> None:
    """At the Hub it would be a user's name."""
    fakes = Fakes()
    fakes.images._anything = False
    fakes.images.publish(
        "myregistry/team/app", credentials=Credentials(username="bob", password=PASSWORD)
    )
    with running(tmp_path, fakes) as rig:
        row = _pulled(rig, "team/app", _registry(rig, "myregistry"))
        assert row.status == "Error" and "domain" in str(row.status_reason)


def test_a_password_under_a_lost_key_is_said_so(tmp_path: Path) -> None:
    with running(tmp_path, _private()) as rig:
        uuid = _registry(rig)
        with rig.db.write() as conn:
            registries.update(conn, uuid, utcnow(), password=Secrets([NEW]).seal("x"))
        row = _pulled(rig, "team/app", uuid)
        assert row.status == "Error" and "keys of this host" in str(row.status_reason)
        assert KEY not in _everything(rig)


def test_registries_of_others_and_in_use(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        uuid, service = _registry(rig), rig.house.services.registries
        stranger = caller("2" * 32)
        with pytest.raises(NotFound):
            service.find(stranger, uuid)
        with pytest.raises(NotFound):
            rig.create(Draft(image="busybox", registry=uuid), stranger)
        made = rig.create(Draft(image="busybox", registry=uuid))
        with pytest.raises(Conflict):
            service.delete(service.find(caller(), uuid))
        rig.settled(made.uuid)
        rig.house.services.containers.delete(caller(), made, force=True, stop=False)
        rig.settled(made.uuid)
        service.delete(service.find(caller(), uuid))
