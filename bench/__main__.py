"""The command `python -m bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from bench.cluster import cluster
from bench.creates import burst, sequential
from bench.databases import stores
from bench.death import death
from bench.figures import Report
from bench.flat import flat
from bench.footprint import footprint
from bench.house import engine, say
from bench.idle import idle
from bench.indexes import indexes
from bench.placements import placements
from bench.reads import reads
from bench.sessions import sessions
from bench.workers import workers

BENCHES: Mapping[str, Callable[[Report, bool], None]] = {
    "create": sequential,
    "burst": burst,
    "death": death,
    "reads": reads,
    "flat": flat,
    "footprint": footprint,
    "stores": stores,
    "indexes": indexes,
    "sessions": sessions,
    "cluster": cluster,
    "placements": placements,
    "workers": workers,
    "idle": idle,
}

_DESCRIPTION = """\
Measures the service beside its floors and prints one table of ratios.

Each figure is taken in turns with its floor in the same run (ours, floor, ours, floor ...), so a busy machine
slows both. Shown are medians, and in brackets the middle half of all values, or of the ratios pair by pair.
Real `zun-standalone` processes are started, with state directories and ports of their own, on the Docker engine at
/var/run/docker.sock; all that was made is removed, also on failure. Run it from the root of the checkout, as root.

benchmarks:
  create     create -> Running through HTTP, one after the other, and the same SDK calls made by hand
  burst      60 creates through 8 clients, and the same calls by hand at their best concurrency
  death      a container dies behind our back -> the API shows it, and the engine's own event
  reads      a list of 1,000 out of 10,000 rows, and one row, and a bare Falcon handler of the same size
  flat       lists by each filter and in each order, and shows, with 100,000 rows and with 100
  footprint  memory idle and with 50 containers; time from start to healthy
  stores     the store on SQLite, MariaDB and PostgreSQL, and their drivers told the same by hand; needs no engine
  indexes    a create and a change on each database with 100,000 containers, and without indexes of orders
  sessions   keystrokes and bulk output through proxy and agent, and the engine's own socket; a thousand idle sessions
  cluster    create -> Running on a cluster of three hosts, on standalone and by hand; the event of a death on each host
             -> the API, at rest and while others create
  placements placements a second with 10,000 hosts in a private MariaDB, by one conductor and by three
             (ZUN_BENCH_DATABASE: the URL of an empty database instead; ZUN_BENCH_BEFORE: the src of another checkout,
             whose conductors work in turns with those of this one)
  workers    the API under gunicorn and uWSGI, two workers each, on MariaDB: a list, one row, a create; beside Falcon
             with one statement by the driver, under the same server on the same database; needs no engine
  idle       what 50, 200 and 500 agents that have nothing to do, and a conductor, ask of MariaDB; the beats alone by
             the driver; needs no engine
"""


def main() -> int:
    """Runs what was asked for; 0 if all of it could be measured, whatever came out."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", choices=list(BENCHES), metavar="NAME",
        help=f"only this benchmark; may be given several times ({', '.join(BENCHES)})",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="few rounds: seconds instead of minutes, rough figures"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the table and the machine to FILE"
    )
    args = parser.parse_args()
    # Ended from outside, it still removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report, failed = Report(), False
    say(machine())
    for name in args.only or BENCHES:
        begun = time.monotonic()
        say(f"{name} ...")
        try:
            BENCHES[name](report, args.quick)
        except (Exception, AssertionError) as exc:
            failed = True
            say(f"{name} FAILED: {type(exc).__name__}: {exc}")
        else:
            say(f"{name}: {time.monotonic() - begun:.0f} s")
    print(report.table())
    print()
    for note in report.notes:
        print(f"- {note}")
    if args.json:
        args.json.write_text(
            json.dumps(
                {"machine": machine(), "at": time.strftime("%F %T%z"), **asdict(report)}, indent=1
            )
            + "\n"
        )
    return 1 if failed else 0


def machine() -> str:
    """What it ran on."""
    client = engine()
    docker = client.version()["Version"]
    client.close()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"Docker {docker}, load {os.getloadavg()[0]:.1f}, fsync of 4 KiB {fsync():.1f} ms"
    )


def fsync() -> float:
    """Median milliseconds of a small durable write where state directories are made."""
    import tempfile

    times = []
    with tempfile.NamedTemporaryFile(prefix="zun-bench-") as file:
        for _ in range(51):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)[25]


if __name__ == "__main__":
    sys.exit(main())
