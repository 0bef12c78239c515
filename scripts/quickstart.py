"""The work of ./quickstart."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from workbench import engine as engines
from workbench.background import Background
from workbench.console import Step, Steps, Trouble, guarded, paint, run, say
from workbench.engine import DEFAULT_SOCKET, IMAGE, Engine
from workbench.packages import CHECKOUT, ensure_venv, is_root
from workbench.service import Memory, Service, default_state, describe

RUN_SECONDS = 60.0
NOT_RUNNING = 3
DEMO_SCRIPT = "echo Hello from $(hostname), on $(uname -sr); sleep 3600"
LABEL_PROJECT = "org.openstack.zun.project"

HELP = """\
From nothing to a running container in one command.

  ./quickstart             install what is missing, start the service, run a container
  ./quickstart status      what runs, and whether it is healthy
  ./quickstart stop        end the service; containers go on running
  ./quickstart uninstall   end the service and remove its containers, networks and files

Without an argument it does, and skips what is already so:
  1. Python 3.11 to 3.13
  2. a virtual environment (.venv in this checkout) with the project and the official
     OpenStack client, dependencies pinned by constraints.txt
  3. a container engine: one that answers on its socket is used as it is; else Debian's
     docker.io is installed and started
  4. a password, a state directory and the cloud `zun` in clouds.yaml
  5. zun-standalone in the background, until it is healthy
  6. the image busybox: pulled, or built of busybox-static where no registry answers
  7. a container, through `openstack appcontainer run`

Installing packages and starting an engine need root. With an engine that you may use and
Python's venv module, everything else works without.
"""

EPILOG = """\
Settings are remembered in the state directory: give that to status, stop and uninstall.
Environment: PYTHON names the interpreter; DOCKER_HOST=unix://... an engine on another socket;
NO_COLOR turns colours off. Options of the service: docs/how-to/configuration.md.
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; see HELP."""
    parser = argparse.ArgumentParser(
        prog="quickstart",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "form",
        nargs="?",
        default="all",
        choices=["all", "status", "stop", "uninstall"],
        metavar="form",
    )
    parser.add_argument(
        "--state-dir", type=Path, default=default_state(), metavar="DIR",
        help="files of the service (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, metavar="N", help="port of the API (default: 9517)")
    parser.add_argument("--cloud", metavar="NAME", help="cloud in clouds.yaml (default: zun)")
    parser.add_argument(
        "--clouds-yaml", type=Path, metavar="FILE",
        help="file to write the cloud into (default: ~/.config/openstack/clouds.yaml)",
    )  # fmt: skip
    parser.add_argument("--config-file", type=Path, metavar="FILE", help="the service's zun.conf")
    parser.add_argument(
        "--venv", type=Path, default=CHECKOUT / ".venv", metavar="DIR",
        help="the virtual environment (default: .venv in the checkout)",
    )  # fmt: skip
    parser.add_argument("--no-demo", action="store_true", help="stop before running a container")
    parser.add_argument(
        "--engine",
        action="store_true",
        help="with stop: also end an engine that quickstart started",
    )
    parser.add_argument(
        "--purge", action="store_true",
        help="with uninstall: also end the engine and remove the packages quickstart installed",
    )  # fmt: skip
    args = parser.parse_args(argv)
    args.state_dir = args.state_dir.expanduser().resolve()
    args.venv = args.venv.expanduser().absolute()
    return args


class Quickstart:
    """One run: the command line, joined with what the last run remembered."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.state: Path = args.state_dir
        remembered = Memory.load(self.state)
        self.known = remembered is not None
        self.memory = remembered or Memory()
        self._take_over()
        self.engine = Engine(
            (self.memory.engine or f"unix://{DEFAULT_SOCKET}").removeprefix("unix://")
        )
        self.service = Service(self.state, args.venv, self.memory)

    def _take_over(self) -> None:
        """What is given on the command line wins over what is remembered."""
        for name in ("port", "cloud"):
            if (value := getattr(self.args, name)) is not None:
                setattr(self.memory, name, value)
        for name in ("clouds_yaml", "config_file"):
            if (value := getattr(self.args, name)) is not None:
                setattr(self.memory, name, str(value.expanduser().absolute()))
        docker_host = os.environ.get("DOCKER_HOST", "")
        if docker_host.startswith("unix://"):
            self.memory.engine = docker_host
        elif docker_host:
            raise Trouble(
                f"DOCKER_HOST={docker_host} is not a unix socket",
                "unset it: the engine must be local",
            )

    # -- all --------------------------------------------------------------------------------------

    def all(self) -> int:
        """From nothing to a running container."""
        steps = Steps(6 if self.args.no_demo else 7)
        with steps.step("Python") as step:
            step.done(f"{sys.version.split()[0]} ({sys.executable})")
        self._make_state()
        with steps.step("virtual environment") as step:
            ensure_venv(step, self.args.venv, ["client"])
        with steps.step("container engine") as step:
            self._remember_packages(engines.ensure_engine(step, self.engine, self.state))
        with steps.step("identity and clouds.yaml") as step:
            self.service.init(step, self.memory.clouds_yaml)
        with steps.step("service") as step:
            self.service.ensure_running(step)
        with steps.step("image") as step:
            self._remember_packages(engines.ensure_image(step, self.engine))
        if not self.args.no_demo:
            with steps.step("container") as step:
                shown = self._demo(step)
            self._show(shown)
        self._next(steps.seconds)
        return 0

    def _make_state(self) -> None:
        try:
            self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.memory.save(self.state)
        except OSError as error:
            raise Trouble(
                f"can't write the state directory {self.state}: {error}",
                "choose another: --state-dir DIR",
            ) from error

    def _remember_packages(self, names: list[str]) -> None:
        if names:
            self.memory.packages = sorted({*self.memory.packages, *names})
            self.memory.save(self.state)

    def client(self, *words: str) -> str:
        """The official client's output. Raises Trouble."""
        env = {"OS_CLOUD": self.memory.cloud}
        if self.memory.clouds_yaml:
            env["OS_CLIENT_CONFIG_FILE"] = self.memory.clouds_yaml
        command = [self.args.venv / "bin/openstack", *words]
        # Without the variables of another cloud, which would win over the entry in clouds.yaml.
        return run(command, what="the OpenStack client", env=env, without="OS_")

    def client_json(self, *words: str) -> dict[str, Any]:
        """The official client's answer to a command of two words and their arguments. Raises Trouble."""
        said = self.client(*words[:2], "-f", "json", *words[2:])
        try:
            return dict(json.loads(said))
        except ValueError as error:
            raise Trouble(f"`openstack {shlex.join(words)}` answered no JSON:\n{said}") from error

    def _demo(self, step: Step) -> dict[str, Any]:
        """Run a container with the official client and wait until it runs; what `show` says of it."""
        self._remove_last_demo()
        name = f"hello-{secrets.token_hex(2)}"
        words = ["--name", name, IMAGE, "sh", "-c", DEMO_SCRIPT]
        shown = f"openstack appcontainer run {shlex.join(words)}"
        step.doing(shown)
        # Options before the image: all behind it is the container's command.
        made = self.client_json("appcontainer", "run", *words)
        self.memory.demo = made["uuid"]
        self.memory.save(self.state)
        until = time.monotonic() + RUN_SECONDS
        while made["status"] != "Running":
            if made["status"] not in ("Creating", "Created", "None"):
                raise Trouble(
                    f"the container is {made['status']}: {made.get('status_reason')}",
                    f"see {self.service.log}",
                )
            if time.monotonic() > until:
                raise Trouble(
                    f"the container is still {made['status']} after {RUN_SECONDS:.0f} s",
                    f"see {self.service.log}",
                )
            made = self.client_json("appcontainer", "show", made["uuid"])
        step.done(f"{name} is Running")
        return {**made, "command_line": shown}

    def _remove_last_demo(self) -> None:
        if self.memory.demo:
            with contextlib.suppress(Trouble):  # it may be gone already
                self.client("appcontainer", "delete", "--stop", self.memory.demo)
            self.memory.demo = None

    def _show(self, made: dict[str, Any]) -> None:
        say()
        say(f"  $ export OS_CLOUD={self.memory.cloud}")
        say(f"  $ {made['command_line']}")
        for key in ("uuid", "name", "status", "addresses", "image"):
            value = made.get(key)
            shown = addresses(value) if key == "addresses" else value
            say(f"  {key:<10} {paint(str(shown), 'bold')}")
        say(f"  $ openstack appcontainer logs {made['name']}")
        for line in self._log(made["uuid"]).splitlines():
            say(f"  {paint(line, 'bold')}")

    def _log(self, uuid: str) -> str:
        """What the container said; asked a few times, for it may not have come to speak yet."""
        for _ in range(5):
            if said := self.client("appcontainer", "logs", uuid).strip():
                return said
        return ""

    def _next(self, seconds: float) -> None:
        activate = self.args.venv / "bin/activate"
        say()
        say(f"Ready in {seconds:.1f} s. To go on in this shell:")
        if self.memory.clouds_yaml:
            say(f"  export OS_CLIENT_CONFIG_FILE={shlex.quote(self.memory.clouds_yaml)}")
        say(f"  . {shlex.quote(str(activate))}; export OS_CLOUD={self.memory.cloud}")
        say("  openstack appcontainer list")
        say(
            f"  openstack appcontainer run --name mine {IMAGE} sh -c 'while date; do sleep 5; done'"
        )
        say("  openstack appcontainer exec mine ps")
        say("  openstack appcontainer delete --stop mine")
        say(
            f"Log: {self.service.log}.  Then: ./quickstart status | stop | uninstall; docs/how-to/first-steps.md"
        )

    # -- status -----------------------------------------------------------------------------------

    def status(self) -> int:
        """What runs; 0 = the service is healthy, 3 = it is not."""
        version = self.engine.version()
        say(f"engine:     {version or 'none answers'} on {self.engine.path}")
        if not self.known or not self._installed():
            say(f"service:    not installed in {self.state}")
            return NOT_RUNNING
        pid, health = self.service.pid(), self.service.health()
        what = f"process {pid}" if pid else "not started by quickstart" if health else "not running"
        say(f"service:    {what}, {self.service.url()}")
        say(f"health:     {describe(health)}")
        if version:
            say(f"containers: {len(self._ours('containers'))} on the engine")
        say(
            f"cloud:      {self.memory.cloud} in {self.memory.clouds_yaml or 'the default clouds.yaml'}"
        )
        say(f"log:        {self.service.log}")
        return 0 if health and health.get("status") == "ok" else NOT_RUNNING

    def _installed(self) -> bool:
        return (self.args.venv / "bin/zun-standalone").exists()

    # -- stop -------------------------------------------------------------------------------------

    def stop(self) -> int:
        """End the service, and with --engine the engine quickstart started."""
        steps = Steps(2 if self.args.engine else 1)
        with steps.step("service") as step:
            self._stop_service(step)
        if self.args.engine:
            with steps.step("container engine") as step:
                step.done(self._stop_engine())
        elif self.engine.version():
            say(
                f"Containers go on running ({len(self._ours('containers'))}); ./quickstart starts the service again."
            )
        return 0

    def _stop_service(self, step: Step) -> None:
        step.doing("waiting for running work to end")
        if self.service.stop():
            step.done("stopped")
        elif self.service.locked():
            raise Trouble(
                f"zun-standalone on {self.state} was not started by quickstart",
                "end it where it was started (systemctl stop zun-standalone?)",
            )
        else:
            step.done("was not running")

    def _stop_engine(self) -> str:
        dockerd = Background(name="dockerd", run=self.state, log=self.state / "dockerd.log")
        if not dockerd.stop(RUN_SECONDS, forcibly=False):
            return "not started by quickstart: left alone"
        return "stopped"

    # -- uninstall --------------------------------------------------------------------------------

    def uninstall(self) -> int:
        """Remove everything the service made, and the environment; packages only with --purge."""
        steps = Steps(6 if self.args.purge else 4)
        with steps.step("service") as step:
            self._stop_service(step)
        with steps.step("containers and networks") as step:
            step.done(self._remove_outside())
        with steps.step("clouds.yaml") as step:
            step.done(self._remove_cloud())
        if self.args.purge:
            with steps.step("container engine") as step:
                step.done(self._stop_engine())
            with steps.step("packages") as step:
                step.done(self._purge(step))
        with steps.step("files") as step:
            step.done(self._remove_files())
        return 0

    def _ours(self, kind: str) -> list[dict[str, Any]]:
        """Our containers or networks on the engine: those of the projects this service knows."""
        return [
            found
            for project in self._projects()
            for found in self.engine.labelled(kind, f"{LABEL_PROJECT}={project}")
        ]

    def _projects(self) -> set[str]:
        projects: set[str] = set()
        with contextlib.suppress(OSError):
            text = (self.state / "identities.yaml").read_text()
            projects.update(re.findall(r"project_id:\s*['\"]?([\w-]+)", text))
        database = self.state / "zun.sqlite"
        if database.exists():
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(
                    sqlite3.connect(f"file:{database}?mode=ro", uri=True)
                ) as connection,
            ):
                projects.update(
                    str(row[0])
                    for row in connection.execute("SELECT DISTINCT project_id FROM containers")
                )
        return projects

    def _remove_outside(self) -> str:
        if self.engine.version() is None:
            if not self._projects():
                return "none known"
            raise Trouble(
                f"no engine answers on {self.engine.path}, so its containers can't be removed",
                "start it (./quickstart --no-demo) and run this again",
            )
        counts = []
        for kind in ("containers", "networks"):
            found = self._ours(kind)
            for one in found:
                self.engine.remove(kind, one["Id"])
            counts.append(f"{len(found)} {kind if len(found) != 1 else kind[:-1]}")
        return f"removed {' and '.join(counts)}"

    def _remove_cloud(self) -> str:
        if not self._installed():
            return "left alone: the virtual environment is gone"
        target = ["--clouds-yaml", self.memory.clouds_yaml] if self.memory.clouds_yaml else []
        command = self.service.command(
            "init", "--remove-cloud", "--cloud", self.memory.cloud, *target
        )
        return run(command, what="removing the cloud", env=self.service.environment()).strip()

    def _purge(self, step: Step) -> str:
        names = self.memory.packages
        if not names:
            return "quickstart installed none"
        if not is_root():
            raise Trouble(
                f"removing {' '.join(names)} needs root",
                f"as root: apt-get remove {' '.join(names)}",
            )
        step.doing(f"removing {' '.join(names)}")
        run(
            ["apt-get", "remove", "-y", "-q", *names],
            what="removing packages",
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )
        return f"removed {' '.join(names)}"

    def _remove_files(self) -> str:
        removed = []
        # Only directories with our own mark in them: a wrong --state-dir must not cost anything.
        for directory, mark in (
            (self.state, "quickstart.json"),
            (self.args.venv, ".zun-installed.json"),
        ):
            if (directory / mark).exists():
                shutil.rmtree(directory)
                removed.append(str(directory))
        return f"removed {', '.join(removed)}" if removed else "there were none"


def addresses(value: Any) -> str:
    """The addresses in the client's answer, in one line."""
    if not isinstance(value, dict):
        return str(value)
    found = [entry.get("addr") for entries in value.values() for entry in entries]
    return ", ".join(str(address) for address in found) or "none"


def main() -> int:
    """Do what the command line says; see HELP."""
    args = parse(sys.argv[1:])
    return guarded(lambda: int(getattr(Quickstart(args), args.form)()))


if __name__ == "__main__":
    sys.exit(main())
