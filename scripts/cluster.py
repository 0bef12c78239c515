"""The work of ./cluster."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workbench import engine as engines
from workbench import keystone, mariadb, rabbitmq
from workbench.background import MARK, send
from workbench.cluster import Cluster, Member, Memory, default_state
from workbench.console import Step, Steps, Trouble, guarded, paint, run, say
from workbench.hosts import missing_tools
from workbench.packages import CHECKOUT, apt_install, ensure_venv, is_root
from workbench.service import fingerprint
from workbench.switch import MOST_HOSTS

UP_SECONDS = 120.0
NOT_WELL = 3
_LOG_LINES = 100

HELP = """\
A cluster on this one machine: several hosts with a container engine each, a real database, message queue and
identity service, and every process of this project by itself. To try what a cloud does, and what it does when a
part of it fails.

  ./cluster up               install what is missing, start everything, wait until it is well
  ./cluster status           every process, its number and health; the hosts as the API shows them
  ./cluster logs NAME        the end of a process's log; -f follows it
  ./cluster down             end everything and remove every trace; the containers in it go too

Then, with the official client:

  . .venv/bin/activate; export OS_CLOUD=zun-cluster
  openstack appcontainer run --name mine busybox sleep 1000
  openstack appcontainer show mine

What fails in real life, by name as `status` shows them:

  ./cluster kill NAME        SIGKILL, as a crash; `start NAME` starts it again
  ./cluster pause NAME       it hangs, as on an overloaded machine; `resume NAME` ends that
  ./cluster cut HOST         pull a host's network cable; `heal HOST` plugs it in again

Everything may be done again: `up` starts what does not run and leaves the rest alone, `down` finds all of it, even
after everything was killed. The main container engine of this machine and its firewall are not touched. Needs root,
and about 300 MB of memory and a further 250 MB a host.
"""

EPILOG = """\
A host is a network namespace; docs/how-to/cluster.md shows the parts, docs/decisions/0021-cluster.md why it is so.
Users: ./cluster up writes the clouds zun-cluster (demo-member) and zun-cluster-admin into clouds.yaml, and in the
state directory an openrc file and an entry in its own clouds.yaml for each role in both projects.
Environment: PYTHON names the interpreter; NO_COLOR turns colours off.
"""

NAMED = ("logs", "kill", "start", "pause", "resume", "cut", "heal")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; see HELP."""
    parser = argparse.ArgumentParser(
        prog="cluster",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("form", choices=["up", "down", "status", *NAMED], metavar="COMMAND")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a process, or of a host")
    parser.add_argument("--hosts", type=int, metavar="N", help="number of hosts (default: 3)")
    parser.add_argument(
        "--state", type=Path, default=default_state(), metavar="DIR",
        help="files of the cluster (default: %(default)s); another directory is another cluster",
    )  # fmt: skip
    parser.add_argument(
        "--subnet", metavar="CIDR",
        help="its network (default: a free one of 172.29.0.0/16, chosen once)",
    )  # fmt: skip
    parser.add_argument(
        "--disk", type=int, metavar="MIB",
        help="size of each host's disk, which is then in memory (default: this machine's disk)",
    )  # fmt: skip
    parser.add_argument(
        "--cloud", metavar="NAME", help="cloud in clouds.yaml (default: zun-cluster)"
    )
    parser.add_argument(
        "--clouds-yaml", type=Path, metavar="FILE",
        help="file to write the cloud into (default: ~/.config/openstack/clouds.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--venv", type=Path, default=CHECKOUT / ".venv", metavar="DIR",
        help="the virtual environment (default: .venv in the checkout)",
    )  # fmt: skip
    parser.add_argument("-f", "--follow", action="store_true", help="with logs: go on as it grows")
    args = parser.parse_args(argv)
    if (args.name is None) == (args.form in NAMED):
        parser.error(f"{args.form} {'needs a name' if args.form in NAMED else 'takes no name'}")
    if args.hosts is not None and not 1 <= args.hosts <= MOST_HOSTS:
        parser.error(f"--hosts must be from 1 to {MOST_HOSTS}")
    args.state = args.state.expanduser().resolve()
    args.venv = args.venv.expanduser().absolute()
    return args


class Command:
    """One run: the command line, joined with what the last run remembered."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        if not is_root():
            raise Trouble(
                "a cluster needs root: namespaces, engines, databases", "run this as root"
            )
        remembered = None if args.form == "down" else Memory.load(args.state)
        self.known = remembered is not None
        memory = remembered or _remembered_or_none(args.state)
        self._take_over(memory)
        self.cluster = Cluster(args.state, args.venv, memory)
        os.environ[MARK] = (
            self.cluster.tag
        )  # what is started from here is marked, whoever starts it

    def _take_over(self, memory: Memory) -> None:
        if self.args.hosts is not None:
            if self.known and self.args.hosts < memory.hosts:
                raise Trouble(
                    f"the cluster has {memory.hosts} hosts already, and it only grows",
                    "./cluster down, then up with fewer",
                )
            memory.hosts = self.args.hosts
        if self.args.disk is not None:
            if self.known and self.args.disk != memory.disk:
                raise Trouble(
                    "the disks of a cluster keep their size", "./cluster down, then up with another"
                )
            memory.disk = self.args.disk
        if self.args.subnet is not None:
            if memory.subnet not in ("", self.args.subnet):
                raise Trouble(
                    f"the cluster's network is {memory.subnet} already",
                    "./cluster down, then up with another",
                )
            memory.subnet = self.args.subnet
        if self.args.cloud is not None:
            memory.cloud = self.args.cloud
        if self.args.clouds_yaml is not None:
            memory.clouds_yaml = str(self.args.clouds_yaml.expanduser().absolute())

    # -- up ---------------------------------------------------------------------------------------

    def up(self) -> int:
        """From nothing to a cluster that is well."""
        steps, cluster = Steps(11), self.cluster
        with steps.step("virtual environment") as step:
            mariadb.ensure_client_builds(step)
            ensure_venv(step, self.args.venv, ["client", "mysql"])
        with steps.step("packages") as step:
            self._install(step)
        with steps.step("Keystone's packages") as step:
            keystone.ensure_installed(step)
        cluster.make_state()
        with cluster.alone():
            with steps.step("network and engines") as step:
                begun = cluster.begin_hosts()
                step.done(f"{len(cluster.hosts)} hosts on {cluster.memory.subnet}, {begun} started")
            with ThreadPoolExecutor(max_workers=1) as pool:
                queue = pool.submit(cluster.rabbitmq.start)  # takes the longest, and needs nobody
                with steps.step("MariaDB") as step:
                    self._start_database(step)
                with steps.step("Keystone") as step:
                    self._start_identity(step)
                with steps.step("RabbitMQ") as step:
                    queue.result()
                    step.done(f"process {cluster.rabbitmq.pid}")
            with steps.step("images") as step:
                self._load_images(step)
            with steps.step("zun") as step:
                self._start_zun(step)
            with steps.step("health") as step:
                self._await_health(step)
            with steps.step("clouds.yaml") as step:
                cluster.write_openrc()
                step.done(self._clouds())
        self._next(steps.seconds)
        return 0

    def _install(self, step: Step) -> None:
        installed = [*mariadb.ensure_installed(step), *rabbitmq.ensure_installed(step)]
        missing = sorted(set(missing_tools().values()))
        if engines.find_busybox() is None:
            missing.append("busybox-static")
        if missing:
            installed += apt_install(step, missing, f"{' '.join(missing)} not installed")
        step.done(f"installed {' '.join(installed)}" if installed else "already there")

    def _start_database(self, step: Step) -> None:
        self.cluster.mariadb.start()
        self.cluster.create_database()
        step.done(f"process {self.cluster.mariadb.pid}")

    def _start_identity(self, step: Step) -> None:
        server = self.cluster.keystone
        step.doing("preparing and starting it")
        server.start()
        step.doing("projects, users, roles and the endpoint")
        try:
            server.bootstrap(self.cluster.zun.endpoint)
        except (keystone.Refused, OSError) as error:
            raise Trouble(f"Keystone: {error}", f"see {server.log}") from error
        step.done(f"{server.auth_url}, process {server.pid}")

    def _load_images(self, step: Step) -> None:
        busybox = engines.find_busybox()
        assert busybox is not None  # it was just installed
        tar = engines.busybox_tar(busybox)
        for host in self.cluster.hosts:
            step.doing(f"waiting for the engine of {host.name}")
            host.await_engine()
            host.load(tar)
        step.done(f"{engines.IMAGE} on every host")

    def _start_zun(self, step: Step) -> None:
        zun, memory, current = self.cluster.zun, self.cluster.memory, fingerprint()
        step.doing("preparing the database")
        zun.configure()
        zun.migrate()
        if memory.started_from != current:
            for process in zun.processes():
                process.daemon.stop()  # of another version, if it runs at all
        started = [p.daemon.start() for p in zun.processes() if p.daemon.pid() is None]
        memory.started_from = current
        memory.save(self.cluster.state)
        step.done(
            f"{len(started)} processes started, {len(zun.processes()) - len(started)} ran already"
        )

    def _await_health(self, step: Step) -> None:
        for process in self.cluster.zun.processes():
            step.doing(f"waiting for {process.name}")
            process.daemon.wait(lambda p=process: p.health() is None, UP_SECONDS, "is well")
        step.doing("waiting for the hosts to report")
        until = time.monotonic() + UP_SECONDS
        while down := [h["host"] for h in self._services() if h["state"] != "up"]:
            if time.monotonic() > until:
                raise Trouble(
                    f"hosts do not report: {' '.join(down)}", "./cluster logs compute-host-1"
                )
            time.sleep(0.2)
        step.done("all are well")

    def _services(self) -> list[dict[str, Any]]:
        """The hosts as the API shows them; those of which it knows nothing yet are down. Raises Trouble."""
        known = {each["host"]: each for each in self.cluster.ask("/services")["services"]}
        return [
            known.get(h.name, {"host": h.name, "state": "unknown", "disabled": False})
            for h in self.cluster.hosts
        ]

    def _clouds(self, *words: str) -> str:
        """Have the project write our entries of the user's clouds.yaml, or remove them. Raises Trouble."""
        memory = self.cluster.memory
        if memory.clouds_yaml:
            words = ("--clouds-yaml", memory.clouds_yaml, *words)
        said = run(
            [self.args.venv / "bin/python", "-m", "zun.cmd.clouds", *words,
             self.cluster.state / "clouds.yaml", memory.cloud, f"{memory.cloud}-admin"],
            what="writing clouds.yaml",
        )  # fmt: skip
        return said.strip().replace("\n", "; ")

    def _next(self, seconds: float) -> None:
        memory = self.cluster.memory
        say()
        say(f"Ready in {seconds:.1f} s. To go on in this shell:")
        if memory.clouds_yaml:
            say(f"  export OS_CLIENT_CONFIG_FILE={shlex.quote(memory.clouds_yaml)}")
        say(
            f"  . {shlex.quote(str(self.args.venv / 'bin/activate'))}; export OS_CLOUD={memory.cloud}"
        )
        say(f"  openstack appcontainer run --name mine {engines.IMAGE} sleep 1000")
        say("  openstack appcontainer show mine")
        say(f"  openstack --os-cloud {memory.cloud}-admin appcontainer host list")
        say(f"Or: . {self.cluster.state / 'openrc'}, which holds:")
        for line in self.cluster.accounts()[memory.cloud].openrc().splitlines():
            hidden = line.partition("OS_PASSWORD=")
            say(f"  {hidden[0]}{hidden[1]}..." if hidden[1] else f"  {line}")
        say(
            "Then: ./cluster status | logs NAME | kill NAME | cut HOST | down; docs/how-to/cluster.md"
        )

    # -- status, logs -----------------------------------------------------------------------------

    def status(self) -> int:
        """Each process and host; 0 = all is well, 3 = it is not."""
        if not self.known:
            say(f"there is no cluster in {self.args.state}")
            return NOT_WELL
        well = True
        say(f"{'process':<20} {'pid':>8}  health")
        members = self.cluster.members()
        with ThreadPoolExecutor(max_workers=8) as pool:
            asked = [pool.submit(_health, member) for member in members]
            for member, answer in zip(members, asked, strict=True):
                pid, wrong = member.pid(), answer.result()
                well = well and not wrong
                say(
                    f"{member.name:<20} {pid or '-':>8}  {paint(wrong, 'red') if wrong else 'well'}"
                )
        say()
        return 0 if self._show_hosts() and well else NOT_WELL

    def _show_hosts(self) -> bool:
        try:
            services = self._services()
        except Trouble as trouble:
            say(f"hosts: {paint('unknown', 'red')}, {trouble.cause}")
            return False
        say(f"{'host':<20} {'address':<16} {'state':<8} {'containers':>10}  cable")
        well = True
        for host, service in zip(self.cluster.hosts, services, strict=True):
            cut = self.cluster.switch.is_cut(host.name)
            well = well and service["state"] == "up" and not cut
            state = service["state"] + (" (disabled)" if service["disabled"] else "")
            try:
                number = str(
                    len(list(host.engine.labelled("containers", "org.openstack.zun.uuid")))
                )
            except (OSError, engines.Refused):
                number = "?"
            say(
                f"{host.name:<20} {host.address:<16} {state:<8} {number:>10}  {'cut' if cut else 'plugged in'}"
            )
        return well

    def logs(self) -> int:
        """The end of a log."""
        member = self.cluster.member(self.args.name)
        if not member.log.exists():
            raise Trouble(f"{member.name} has written no log", "./cluster status shows what runs")
        if self.args.follow:
            os.execvp("tail", ["tail", "-n", str(_LOG_LINES), "-F", str(member.log)])
        with member.log.open(encoding="utf-8", errors="replace") as file:
            sys.stdout.writelines(deque(file, _LOG_LINES))
        return 0

    # -- failing ----------------------------------------------------------------------------------

    def kill(self) -> int:
        """A crash of one process."""
        member = self.cluster.member(self.args.name)
        lived = member.pid() is not None
        member.kill()
        say(f"{member.name} {'was killed' if lived else 'did not run'}")
        return 0

    def start(self) -> int:
        """Start one process where it does not run."""
        member = self.cluster.member(self.args.name)
        if member.pid() is None:
            member.start()
        say(f"{member.name} runs, process {member.pid()}")
        return 0

    def pause(self) -> int:
        """One process hangs."""
        return self._signal(signal.SIGSTOP, "hangs")

    def resume(self) -> int:
        """And goes on."""
        return self._signal(signal.SIGCONT, "goes on")

    def _signal(self, number: signal.Signals, what: str) -> int:
        member = self.cluster.member(self.args.name)
        pid = member.pid()
        if pid is None:
            raise Trouble(f"{member.name} does not run", f"./cluster start {member.name}")
        send([pid], number)
        say(f"{member.name} {what}")
        return 0

    def cut(self) -> int:
        """Pull a host's cable."""
        self.cluster.switch.cut(self.cluster.host(self.args.name).name)
        say(f"{self.args.name} is cut off")
        return 0

    def heal(self) -> int:
        """Plug it in."""
        self.cluster.switch.heal(self.cluster.host(self.args.name).name)
        say(f"{self.args.name} is plugged in")
        return 0

    # -- down -------------------------------------------------------------------------------------

    def down(self) -> int:
        """End and remove everything."""
        steps, cluster = Steps(3), self.cluster
        with steps.step("processes") as step:
            step.doing("ending them")
            cluster.stop()
            step.done("ended")
        with steps.step("clouds.yaml") as step:
            if (self.args.venv / "bin/python").exists() and (
                cluster.state / "clouds.yaml"
            ).exists():
                step.done(self._clouds("--remove"))
            else:
                step.done("left alone")
        with steps.step("what is left") as step:
            step.doing("removing it")
            cluster.remove()
            left = cluster.leftovers()
            if left:
                raise Trouble(f"not everything could be removed: {left}", "run this again")
            step.done("nothing")
        return 0


def _health(member: Member) -> str | None:
    return "does not run" if member.pid() is None else member.health()


def _remembered_or_none(state: Path) -> Memory:
    """For `down`, which must work with a damaged memory too."""
    try:
        return Memory.load(state) or Memory()
    except Trouble:
        return Memory()


def main() -> int:
    """Do what the command line says; see HELP."""
    args = parse(sys.argv[1:])
    action: Callable[[], int] = lambda: int(getattr(Command(args), args.form)())  # noqa: E731
    return guarded(action)


if __name__ == "__main__":
    sys.exit(main())
