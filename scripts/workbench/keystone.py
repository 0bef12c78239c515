"""A Keystone of our own: real, from PyPI in a virtual environment of its own, under a real WSGI server.

Made for tests and for a cluster on one machine: password hashing is as quick as it can be, SQLite is its
database unless another is named.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.background import Background
from workbench.console import Step, Trouble, run
from workbench.packages import CHECKOUT, apt_install
from workbench.rabbitmq import free_port

#: Where it is installed unless somebody says otherwise; kept from one run to the next.
VENV = CHECKOUT / ".venv-keystone"
PINS = Path(__file__).with_name("keystone-constraints.txt")
ROLES = ("reader", "member", "manager", "admin")
PROJECTS = ("demo", "alt")
REGION = "RegionOne"
_PACKAGES = ("keystone", "uWSGI", "PyMySQL")
_STAMP = ".pins"
_ANSWER_SECONDS = 30.0


def ensure_installed(step: Step, venv: Path = VENV) -> bool:
    """See that Keystone is in `venv`, at the pinned versions; whether anything was installed. Raises Trouble."""
    pins = f"{sys.version}\n{PINS.read_text()}"
    stamp = venv / _STAMP
    if stamp.is_file() and stamp.read_text() == pins:
        step.done("already there")
        return False
    if shutil.which("gcc") is None:
        apt_install(step, ["gcc"], "uWSGI has to be compiled")
    step.doing("making a virtual environment for Keystone")
    run([sys.executable, "-m", "venv", "--clear", venv], what="making a virtual environment")
    step.doing("installing Keystone and uWSGI, which is compiled")
    run(
        [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--constraint", PINS, *_PACKAGES],
        what="installing Keystone",
        way_out="check that pip reaches its package index (https_proxy, PIP_INDEX_URL), then run this again",
    )  # fmt: skip
    stamp.write_text(pins)
    step.done("installed")
    return True


class Refused(Exception):
    """Keystone answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user in a project, as clients name them."""

    auth_url: str
    username: str
    password: str
    project: str

    def cloud(self) -> dict[str, Any]:
        """An entry of clouds.yaml."""
        auth = {
            "auth_url": self.auth_url,
            "username": self.username,
            "password": self.password,
            "project_name": self.project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return {"auth": auth, "region_name": REGION, "identity_api_version": 3}

    def openrc(self) -> str:
        """The same for a shell."""
        values = {
            "OS_AUTH_URL": self.auth_url,
            "OS_USERNAME": self.username,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": self.project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
        }
        return "".join(f"export {name}={value}\n" for name, value in values.items())


class Keystone:
    """The service of `directory`: configuration, keys, database (unless `database` is a URL), log and pid file.

    Answers on http://`address`:`port`/v3. `start` it, then `bootstrap` it once or again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int = 5000,
        database: str | None = None,
        venv: Path = VENV,
    ) -> None:
        self._directory = directory
        self._daemon = Background(name="uwsgi", run=directory, log=directory / "uwsgi.log")
        self._address, self._port = address, port
        self._database = database or f"sqlite:///{directory}/keystone.sqlite"
        self._bin = venv / "bin"
        self._etc = directory / "etc"
        self._password_file = directory / "password"
        self._token: str | None = None

    @property
    def auth_url(self) -> str:
        """What clients are told."""
        return f"http://{self._address}:{self._port}/v3"

    @property
    def pid(self) -> int | None:
        """Its first process, if it runs."""
        return self._daemon.pid()

    @property
    def log(self) -> Path:
        """What it said."""
        return self._daemon.log

    @property
    def password(self) -> str:
        """Of every user here: made once, by chance."""
        return self._password_file.read_text().strip()

    # ---- life

    def start(self) -> str:
        """Makes files and database where there are none, starts it where it does not run; its URL. Raises Trouble."""
        if not self._password_file.exists():
            self._make()
        replace(self._daemon, env=self._env()).ensure(self._command(self._port), self._answers)
        return self.auth_url

    def second(self, env: Mapping[str, str]) -> tuple[int, list[str], dict[str, str]]:
        """Port, command and environment of a second process on the same files, some of whose options differ."""
        port = free_port(self._address)
        return port, self._command(port), {**self._env(), **env}

    def _env(self) -> dict[str, str]:
        return {"OS_KEYSTONE_CONFIG_DIR": str(self._etc), "PYTHONWARNINGS": "ignore"}

    def _command(self, port: int) -> list[str]:
        return [
            str(self._bin / "uwsgi"), "--http-socket", f"{self._address}:{port}",
            "--module", "keystone.wsgi.api:application", "--virtualenv", str(self._bin.parent),
            "--master", "--processes", "1", "--threads", "4", "--enable-threads", "--lazy-apps",
            "--need-app", "--die-on-term", "--buffer-size", "65535", "--add-header",
            "Connection: close", "--logger", f"file:{self._directory / 'requests.log'}",
        ]  # fmt: skip

    def _make(self) -> None:
        self._etc.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        password = secrets.token_urlsafe(18)
        (self._etc / "keystone.conf").write_text(
            f"[DEFAULT]\nlog_file = {self._directory / 'keystone.log'}\n"
            f"[database]\nconnection = {self._database}\n"
            "[token]\nprovider = fernet\nexpiration = 3600\nallow_expired_window = 3600\n"
            f"[fernet_tokens]\nkey_repository = {self._etc / 'fernet-keys'}\n"
            f"[credential]\nkey_repository = {self._etc / 'credential-keys'}\n"
            # bcrypt's default of 12 rounds costs 0.3 s of CPU a password.
            "[identity]\npassword_hash_rounds = 4\n"
            "[oslo_policy]\nenforce_scope = true\nenforce_new_defaults = true\n"
        )
        self._manage("db_sync")
        for command in ("fernet_setup", "credential_setup"):
            self._manage(command, "--keystone-user", "root", "--keystone-group", "root")
        url = f"{self.auth_url}/"
        self._manage(
            "bootstrap", f"--bootstrap-password={password}", "--bootstrap-region-id", REGION,
            "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url,
        )  # fmt: skip
        self._password_file.write_text(password + "\n")
        self._password_file.chmod(0o600)

    def _manage(self, *arguments: str) -> None:
        command = self._bin / "keystone-manage"
        if not command.exists():
            raise Trouble(
                f"Keystone is not installed in {self._bin.parent}", "run ./run-tests once"
            )
        run(
            [command, "--config-file", self._etc / "keystone.conf", *arguments],
            what=f"keystone-manage {arguments[0]}",
            way_out=f"see {self._directory / 'keystone.log'}",
            env={"PYTHONWARNINGS": "ignore"},
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.auth_url}/", timeout=_ANSWER_SECONDS):
                return True
        except OSError:
            return False

    def stop(self) -> bool:
        """Ends it in order; whether it ran. Raises Trouble."""
        return self._daemon.stop(forcibly=False)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self._daemon.kill(children=True)

    # ---- what is in it

    def bootstrap(self, container_endpoint: str) -> None:
        """The user `zun` in project `service`, PROJECTS with a user for each of ROLES, and the endpoint of the
        container service, which ends in /v1. Repeated, it changes nothing but the endpoint. Raises Refused, OSError.
        """
        roles = {role["name"]: role["id"] for role in self._list("roles")}
        for name in {*ROLES, "service"} - set(roles):
            roles[name] = self._find_or_make("roles", name)
        service = self._find_or_make("projects", "service", domain_id="default")
        self._grant("zun", service, [roles["service"], roles["admin"]])
        for project in PROJECTS:
            project_id = self._find_or_make("projects", project, domain_id="default")
            for role in ROLES:
                self._grant(f"{project}-{role}", project_id, [roles[role]])
        self.endpoint("zun", "container", container_endpoint)

    def endpoint(self, name: str, kind: str, url: str) -> None:
        """A service of the catalogue and where it answers, by all three interfaces."""
        service = self._find_or_make("services", name, type=kind)
        there = {
            endpoint["interface"]: endpoint
            for endpoint in self._list(f"endpoints?service_id={service}")
        }
        for interface in ("public", "internal", "admin"):
            body = {"service_id": service, "interface": interface, "url": url, "region_id": REGION}
            old = there.get(interface)
            if old is None:
                self._call("POST", "/endpoints", {"endpoint": body})
            elif old["url"] != url:
                self._call("PATCH", f"/endpoints/{old['id']}", {"endpoint": {"url": url}})

    def user(self, project: str, role: str) -> Login:
        """One of those that `bootstrap` makes."""
        return Login(
            auth_url=self.auth_url, username=f"{project}-{role}", password=self.password, project=project
        )  # fmt: skip

    def options(self) -> dict[str, dict[str, Any]]:
        """What a zun.conf needs to use this Keystone: section -> option -> value."""
        login = {
            "auth_url": self.auth_url,
            "auth_type": "password",
            "username": "zun",
            "password": self.password,
            "project_name": "service",
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
        }
        return {
            "api": {"auth_strategy": "keystone"},
            "keystone_authtoken": {**login, "www_authenticate_uri": self.auth_url},
            "keystone_auth": dict(login),
        }

    def token(self, login: Login, url: str | None = None) -> str:
        """A token of a user, for requests by hand. Raises Refused, OSError."""
        scope = {"project": {"name": login.project, "domain": {"id": "default"}}}
        return self._issue(login.username, login.password, scope, url)

    def revoke(self, token: str) -> None:
        """Makes a token void. Raises Refused, OSError."""
        headers = {"X-Auth-Token": self._admin(), "X-Subject-Token": token}
        self._request("DELETE", "/auth/tokens", None, headers)

    def _grant(self, user: str, project: str, roles: Sequence[str]) -> None:
        user_id = self._find_or_make("users", user, domain_id="default", password=self.password)
        for role in roles:
            self._call("PUT", f"/projects/{project}/users/{user_id}/roles/{role}", None)

    def _find_or_make(self, collection: str, name: str, **values: str) -> str:
        found = self._list(f"{collection}?name={name}")
        if found:
            return str(found[0]["id"])
        kind = collection.removesuffix("s")
        made = self._call("POST", f"/{collection}", {kind: {"name": name, **values}})
        return str(made[kind]["id"])

    def _list(self, path: str) -> list[dict[str, Any]]:
        answer = self._call("GET", f"/{path}", None)
        found: list[dict[str, Any]] = answer[path.partition("?")[0]]
        return found

    def _call(self, method: str, path: str, body: Any) -> Any:
        return self._request(method, path, body, {"X-Auth-Token": self._admin()})[0]

    def _admin(self) -> str:
        if self._token is None:
            scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
            self._token = self._issue("admin", self.password, scope)
        return self._token

    def _issue(self, user: str, password: str, scope: Any, url: str | None = None) -> str:
        who = {"user": {"name": user, "domain": {"id": "default"}, "password": password}}
        body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
        _, headers = self._request("POST", "/auth/tokens", body, {}, url)
        return headers["X-Subject-Token"]

    def _request(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], url: str | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        request = urllib.request.Request(
            (url or self.auth_url) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                raw = answer.read()
                return (json.loads(raw) if raw else None), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, error.read().decode(errors="replace")[:500]) from None
