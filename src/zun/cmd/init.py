"""`zun-standalone init`: everything a first start needs, made where it is missing, kept where it is not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from oslo_config import cfg

from zun.cmd import clouds, credentials

DEFAULT_CLOUD = "zun"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` reads from its `args`."""
    parser.add_argument(
        "--clouds-yaml",
        type=Path,
        metavar="PATH",
        help="the clients' file to write the cloud into (default: $OS_CLIENT_CONFIG_FILE, else "
        "~/.config/openstack/clouds.yaml)",
    )
    parser.add_argument(
        "--cloud",
        default=DEFAULT_CLOUD,
        metavar="NAME",
        help="name of the cloud in that file (default: %(default)s)",
    )
    parser.add_argument(
        "--remove-cloud",
        action="store_true",
        help="only take that cloud out of the file again",
    )


def run(settings: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Make state directory, identity files and the clouds.yaml entry; 0, or 1 with the cause on stderr."""
    path = args.clouds_yaml or clouds.default_path()
    try:
        if args.remove_cloud:
            removed = clouds.remove(path, args.cloud)
            print(f"cloud {args.cloud!r}: {'removed from' if removed else 'not in'} {path}")
            return 0
        return _make(settings, path, args.cloud)
    except (clouds.CloudsError, credentials.CredentialsError, OSError) as error:
        print(f"zun-standalone init: {error}", file=sys.stderr)
        return 1


def _make(settings: cfg.ConfigOpts, path: Path, cloud: str) -> int:
    state = Path(settings.state_path)
    made = credentials.ensure(state)
    for file in made.written:
        print(f"wrote {file}")
    endpoint = _endpoint(settings.api.host_ip, settings.api.port)
    if settings.api.auth_strategy == "noauth":
        entry = clouds.no_auth_entry(endpoint)
    else:
        entry = clouds.http_basic_entry(endpoint, made.username, made.password)
    written = clouds.merge(path, cloud, entry)
    print(f"cloud {cloud!r}: {'written to' if written else 'already in'} {path}")
    return 0


def _endpoint(host: str, port: int) -> str:
    """The URL by which this machine reaches a service that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
