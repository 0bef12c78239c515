"""The options (oslo.config), read in `zun.cmd` and handed on as values.

No other layer imports this package.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from oslo_config import cfg
from oslo_log import log as oslo_log
from oslo_policy import opts as policy_opts

from zun.conf import (
    agent_streams,
    api,
    compute,
    conductor,
    database,
    default,
    docker,
    docker_network,
    ignored,
    metrics,
    quota,
    scheduler,
    streams,
    websocket_proxy,
)

LOG = logging.getLogger(__name__)

_MOST_CPUS = 65_535  # by number; more than any kernel knows

#: One module a group; each has GROUP and OPTS.
GROUPS: tuple[ModuleType, ...] = (
    default,
    api,
    compute,
    conductor,
    scheduler,
    docker,
    docker_network,
    database,
    quota,
    metrics,
    streams,
    websocket_proxy,
    agent_streams,
)


class ConfigError(Exception):
    """The configuration can't be used; the text names the file or option and the way out."""


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Every option of ours by group, for oslo-config-generator and the reference page."""
    return [(module.GROUP, list(module.OPTS)) for module in GROUPS]


def load(
    config_files: Sequence[str | Path] | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    prog: str = "zun",
) -> cfg.ConfigOpts:
    """Read the configuration into an instance of its own; no global is touched.

    `config_files`: exactly these, later ones win; None = the usual places (/etc/zun/zun.conf,
    /etc/zun/zun.conf.d/, ~/.zun/zun.conf). Variables `OS_<GROUP>__<OPTION>` in the environment win
    over files. `overrides`: "group.option" (or "option" of [DEFAULT]) -> value, wins over both.
    Every value is checked here, once. An option nobody knows is logged as a warning, so that one
    file can serve several releases.
    Raises ConfigError: a file is missing or malformed, a value is wrong, values contradict
    each other.
    """
    conf = cfg.ConfigOpts()
    for group, opts in list_opts():
        # A group object carries its options' values: each instance needs its own.
        own = cfg.OptGroup(group.name, help=group.help)
        conf.register_opts(opts, group=None if group.name == "DEFAULT" else own)
    oslo_log.register_options(conf)
    policy_opts.set_defaults(conf, policy_file="policy.yaml", enforce_new_defaults=True)
    try:
        if config_files is None:
            conf(args=[], project="zun", prog=prog)
        else:
            files = [str(file) for file in config_files]
            conf(
                args=[],
                project="zun",
                prog=prog,
                default_config_files=files,
                default_config_dirs=[],
            )
        for key, value in (overrides or {}).items():
            group_name, _, name = key.rpartition(".")
            conf.set_override(name, value, group=group_name or None)
        _read_all(conf)
    except (cfg.Error, ValueError) as error:
        raise ConfigError(str(error)) from error
    _check(conf)
    for line in unknown_options(conf):
        LOG.warning("%s", line)
    return conf


def of_libraries(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """The same files, read anew without any option of ours, for a library that registers its own."""
    made = cfg.ConfigOpts()
    made(
        args=[],
        project="zun",
        default_config_files=list(conf.config_file or ()),
        default_config_dirs=list(conf.config_dir or ()),
    )
    return made


def transport_url(conf: cfg.ConfigOpts) -> str | None:
    """[DEFAULT] transport_url, an option of oslo.messaging: that is loaded only by who needs it. None = not set."""
    read = of_libraries(conf)
    read.register_opt(cfg.StrOpt("transport_url", secret=True))
    return read.transport_url or None


def _read_all(conf: cfg.ConfigOpts) -> None:
    """Read every option once: oslo.config checks a value only when it is read. Raises as it does."""
    for name in conf:
        try:
            value = conf[name]
        except cfg.NoSuchOptError as error:  # hides what went wrong in it
            raise ConfigError(f"[DEFAULT] {name}: {error.__context__ or error}") from error
        if isinstance(value, cfg.ConfigOpts.GroupAttr):
            for option in value:
                value[option]


def _check(conf: cfg.ConfigOpts) -> None:
    """What no single option can say of itself. Raises ConfigError."""
    if conf.api.auth_strategy == "noauth" and not is_loopback(conf.api.host_ip):
        raise ConfigError(
            "[api] auth_strategy = noauth makes everybody the administrator and is refused on "
            f"host_ip = {conf.api.host_ip}: listen on 127.0.0.1, or use http_basic"
        )
    if conf.default_image_driver not in conf.image_driver_list:
        raise ConfigError(
            f"[DEFAULT] default_image_driver = {conf.default_image_driver} is not one of "
            "image_driver_list"
        )
    for what, plural in (("cpu", "cpus"), ("memory", "memory"), ("disk", "disk")):
        least, most = conf[f"minimum_{plural}"], conf[f"maximum_{plural}"]
        if not least <= conf[f"default_{what}"] <= most:
            raise ConfigError(
                f"[DEFAULT] default_{what} = {conf[f'default_{what}']} is not between "
                f"minimum_{plural} = {least} and maximum_{plural} = {most}"
            )
    if conf.compute.heartbeat_interval >= conf.service_down_time:
        raise ConfigError(
            f"[compute] heartbeat_interval = {conf.compute.heartbeat_interval} is not less than "
            f"[DEFAULT] service_down_time = {conf.service_down_time}"
        )
    _check_pinning(conf)
    given = [name for name in ("cert_file", "key_file", "ca_file") if conf.agent_streams[name]]
    if given and len(given) < 3:
        raise ConfigError(
            f"[agent_streams] {', '.join(given)}: cert_file, key_file and ca_file go together"
        )
    pool = ipaddress.IPv4Network(conf.docker_network.subnet_pool)
    if conf.docker_network.subnet_prefix < pool.prefixlen:
        raise ConfigError(
            f"[docker_network] subnet_prefix = {conf.docker_network.subnet_prefix} "
            f"does not fit into subnet_pool = {pool}"
        )


def _check_pinning(conf: cfg.ConfigOpts) -> None:
    beats = 3 * conf.compute.heartbeat_interval
    if 0 < conf.compute.fence_after < beats:
        raise ConfigError(
            f"[compute] fence_after = {conf.compute.fence_after} is less than three times heartbeat_interval = "
            f"{conf.compute.heartbeat_interval}: a host that is merely slow would stop containers"
        )
    try:
        cpus_of(conf.floating_cpu_set)
    except ValueError as error:
        raise ConfigError(f"[DEFAULT] floating_cpu_set: {error}") from error


def cpus_of(text: str) -> frozenset[int]:
    """The CPUs of a list such as "0-3,^2,8". Raises ValueError."""
    wanted: set[int] = set()
    unwanted: set[int] = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        word = part.removeprefix("^")
        first, dash, last = word.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{part!r} is no CPU and no range of CPUs")
        cpus = range(int(first), int(last if dash else first) + 1)
        if not cpus or cpus[-1] > _MOST_CPUS:
            raise ValueError(f"{part!r} is no range of CPUs")
        (unwanted if part.startswith("^") else wanted).update(cpus)
    return frozenset(wanted - unwanted)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `address`; of names, only localhost counts as such."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def unknown_options(conf: cfg.ConfigOpts, *, read: Collection[str] = ()) -> list[str]:
    """One line for each option in `conf`'s files that nothing here reads, with the reason where there is one.

    `read`: sections that only the caller reads.
    """
    known: dict[str, set[str]] = {"default": {"config_file", "config_dir", *ignored.MESSAGING}}
    for name in conf:
        value = conf[name]
        if isinstance(value, cfg.ConfigOpts.GroupAttr):
            known.setdefault(name.lower(), set()).update(value)
        else:
            known["default"].add(name)
    lines = []
    for file, section, option in _options_in_files(conf):
        name = option.replace("-", "_")
        if section.lower() in {*ignored.LIBRARIES, *read} or name in known.get(section.lower(), ()):
            continue
        reason = ignored.why(section, name)
        what = f"is not read: {reason}" if reason else "is not an option of this release: ignored"
        lines.append(f"{file}: [{section}] {option} {what}")
    return lines


def not_read() -> list[tuple[str, str, str]]:
    """(section, option, reason) of upstream's options that this release does not read, for the reference page."""
    ours = {(module.GROUP.name.lower(), opt.dest) for module in GROUPS for opt in module.OPTS}
    groups = {group for group, _ in ours}
    return [
        (section, option, reason)
        for section, options in ignored.IGNORED.items()
        for option, reason in options.items()
        if (section.lower(), option) not in ours and not (option == "*" and section in groups)
    ]


def _options_in_files(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """(file, section, option) of everything set in the files `conf` was read from."""
    files = [Path(file) for file in conf.config_file or ()]
    for directory in conf.config_dir or ():
        files += sorted(Path(directory).glob("*.conf"))
    for file in files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(str(file), sections).parse()
        for section, options in sections.items():
            for option in options:
                yield str(file), section, option
