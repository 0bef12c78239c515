"""The options: defaults, files, environment, and every way to get them wrong."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from oslo_config import cfg

from zun import conf


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zun.conf"
    path.write_text(text)
    return path


def test_defaults_load_without_a_file() -> None:
    settings = conf.load([])
    assert settings.api.port == 9517
    assert settings.api.host_ip == "127.0.0.1"
    assert settings.docker.api_url == "unix:///var/run/docker.sock"
    assert settings.debug is False


def test_database_follows_the_state_path(tmp_path: Path) -> None:
    settings = conf.load([], overrides={"state_path": str(tmp_path)})
    assert settings.database.connection == f"sqlite:///{tmp_path}/zun.sqlite"


def test_state_path_of_root_and_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert conf.default.default_state_path() == "/var/lib/zun"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/some/home")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert conf.default.default_state_path() == "/some/home/.local/state/zun"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert conf.default.default_state_path() == "/state/zun"


def test_overrides_win_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "[api]\nport = 1\nthreads = 2\nmax_limit = 3\n")
    monkeypatch.setenv("OS_API__PORT", "10")
    monkeypatch.setenv("OS_API__THREADS", "20")
    settings = conf.load([path], overrides={"api.port": 100})
    assert (settings.api.port, settings.api.threads, settings.api.max_limit) == (100, 20, 3)


def test_instances_share_nothing(tmp_path: Path) -> None:
    first = conf.load([write(tmp_path, "[api]\nport = 1\n")], overrides={"docker.log_limit": 2000})
    second = conf.load([])
    assert (first.api.port, first.docker.log_limit) == (1, 2000)
    assert (second.api.port, second.docker.log_limit) == (9517, 8388608)


def test_unknown_options_are_warned_of_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "[DEFAULT]\ndebug=1\nmy_ip=1.2.3.4\nnonsense=1\ntransport_url=rabbit://\n[api]\nport=1\n"
        "[neutron]\novs_bridge=br\n[keystone_authtoken]\nauth_url=x\n[oslo_messaging_rabbit]\nssl=true\n"
    )
    path = write(tmp_path, text)
    with caplog.at_level(logging.WARNING):
        settings = conf.load([path])
    assert settings.api.port == 1
    warned = [record.message for record in caplog.records]
    assert warned == [
        f"{path}: [DEFAULT] my_ip is not read: {conf.ignored.IGNORED['DEFAULT']['my_ip']}",
        f"{path}: [DEFAULT] nonsense is not an option of this release: ignored",
        f"{path}: [neutron] ovs_bridge is not read: {conf.ignored.IGNORED['neutron']['*']}",
    ]


def test_upstreams_options_are_read_or_their_absence_is_explained() -> None:
    """Those of the contract's table (11), as far as they are upstream's own."""
    shown = {(section, option) for section, option, _ in conf.not_read()}
    ours = {(group.name, opt.dest) for group, opts in conf.list_opts() for opt in opts}
    assert not shown & ours
    for section, option in (
        ("api", "workers"), ("api", "api_paste_config"), ("compute", "topic"), ("DEFAULT", "rootwrap_config"),
        ("docker", "docker_remote_api_port"), ("compute", "host_shared_with_nova"),
    ):  # fmt: skip
        assert (section, option) in shown


def test_the_message_queue_is_read_from_files_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert conf.transport_url(conf.load([])) is None
    said = conf.load([write(tmp_path, "[DEFAULT]\ntransport_url = rabbit://a:b@c/\n")])
    assert conf.transport_url(said) == "rabbit://a:b@c/"
    monkeypatch.setenv("OS_DEFAULT__TRANSPORT_URL", "rabbit://d/")
    assert conf.transport_url(said) == "rabbit://d/"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[api]\nport = x\n", "port"),
        ("[api]\nport = 70000\n", "port"),
        ("[api]\nauth_strategy = keystone2\n", "auth_strategy"),
        ("[api]\nauth_strategy = noauth\nhost_ip = 0.0.0.0\n", "noauth"),
        ("[api]\nauth_strategy = noauth\nhost_ip = box.example.com\n", "noauth"),
        ("[docker]\napi_url = tcp://127.0.0.1:2375\n", "api_url"),
        ("[docker_network]\nsubnet_pool = 10.0.0.1/8\n", "subnet_pool"),
        ("[docker_network]\nsubnet_pool = 10.0.0.0/26\n", "subnet_prefix"),
        ("[compute]\ncpu_mode = turbo\n", "cpu_mode"),
        ("[compute]\nheartbeat_interval = 180\n", "heartbeat_interval"),
        ("[DEFAULT]\ndefault_memory = 3\n", "default_memory"),
        ("[DEFAULT]\ndefault_cpu = 17\n", "default_cpu"),
        ("[DEFAULT]\nimage_driver_list = floppy\n", "image_driver_list"),
        ("[DEFAULT]\ndefault_image_driver = glance\n", "default_image_driver"),
        ("[DEFAULT]\nstate_path = $nonsense\n", "nonsense"),
        ("no section\n", "zun.conf"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(conf.ConfigError, match=named):
        conf.load([write(tmp_path, text)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(conf.ConfigError, match="absent"):
        conf.load([tmp_path / "absent"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_noauth_on_loopback(tmp_path: Path, host: str) -> None:
    path = write(tmp_path, f"[api]\nauth_strategy = noauth\nhost_ip = {host}\n")
    assert conf.load([path]).api.auth_strategy == "noauth"


def test_every_option_is_explained_and_secrets_are_marked() -> None:
    for group, opts in conf.list_opts():
        for opt in opts:
            assert opt.help, f"[{group.name}] {opt.name} has no help"
            assert opt.help.endswith("."), f"[{group.name}] {opt.name}: end the help with a stop"
            words = ("password", "secret", "encryption_key")
            sensitive = opt.name == "connection" or any(word in opt.name for word in words)
            assert opt.secret == sensitive, f"[{group.name}] {opt.name}: secret={opt.secret}"


def test_every_option_is_read() -> None:
    """An option that nothing reads is a lie: `zun.cmd` alone reads options."""
    readers = (Path(conf.__file__).parents[1] / "cmd").glob("*.py")
    text = "".join(path.read_text() for path in readers)
    for group, opts in conf.list_opts():
        for opt in opts:
            assert re.search(rf"\.{opt.dest}\b", text), f"[{group.name}] {opt.name} is never read"


def test_numbers_are_bounded() -> None:
    for group, opts in conf.list_opts():
        for opt in opts:
            if isinstance(opt, (cfg.IntOpt, cfg.FloatOpt, cfg.PortOpt)):
                assert opt.type.min is not None, f"[{group.name}] {opt.name} has no minimum"


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("", set()), ("3", {3}), ("0-2, 5", {0, 1, 2, 5}), ("4-12,^8,15", {*range(4, 13), 15} - {8})],
)
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert conf.cpus_of(text) == cpus


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "0-99999999999", "1;2", "^^1"])
def test_what_is_no_list_of_cpus(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        conf.cpus_of(text)


def test_what_contradicts_itself_of_hosts_that_fail(tmp_path: Path) -> None:
    for text, words in (
        ("[compute]\nfence_after = 20\n", "fence_after = 20 is less than three times"),
        ("[DEFAULT]\nfloating_cpu_set = 0-\n", r"floating_cpu_set: '0-' is no"),
        ("[scheduler]\nenabled_filters = NoSuchFilter\n", "NoSuchFilter"),
    ):
        with pytest.raises(conf.ConfigError, match=words):
            conf.load([write(tmp_path, text)])
