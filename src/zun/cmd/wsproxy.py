"""`zun-wsproxy`: interactive sessions for users' clients, by tokens, to the agents of all hosts."""

from __future__ import annotations

import logging
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from oslo_config import cfg
from prometheus_client import CollectorRegistry

from zun.api.settings import ApiSettings
from zun.cmd import arguments, process
from zun.cmd.arguments import CannotServe
from zun.cmd.metrics import serve_metrics
from zun.cmd.ports import wsproxy_port
from zun.cmd.tls import client_context
from zun.cmd.wiring import probe_database
from zun.service.health import Health
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.wsproxy.server import ProxyServer
from zun.wsproxy.settings import ProxySettings

LOG = logging.getLogger(__name__)

KIND = "zun-wsproxy"
_DESCRIPTION = """\
Relays interactive sessions - attach and exec - between users' clients and the agents of the hosts. Needs the database
([database] connection) and reaches the agents; knows no engine and no identity service. Any number may run.

  zun-wsproxy --config-file /etc/zun/zun.conf

SIGHUP reads the certificate again; SIGTERM tells the clients, and ends. Health and figures are at [metrics] host_ip and
port: /healthcheck and /metrics.
"""

#: Seconds in which sessions are brought to an end.
_END = 5

#: File descriptors besides those of sessions: the database, the log, what waits to be a session.
_SPARE = ProxySettings().max_waiting + 500


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    return arguments.run(KIND, _DESCRIPTION, serve, argv)


def serve(conf: cfg.ConfigOpts) -> int:
    """Serves until SIGTERM; 0. Raises what `zun.cmd.arguments.EXPECTED` names."""
    # zun-standalone imports this module too, and has no use for a message queue.
    from zun.cmd import separate

    stop = process.told_to_stop()
    process.refuse_patched()
    database = separate.open_database(conf)
    registry = CollectorRegistry()
    with separate.or_else(database.close):
        server = make_proxy(conf, database, registry, each=2)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that has nothing to read ends nothing
    reload_on_hangup(conf, server)
    probes = {
        "database": lambda: probe_database(database),
        "sessions": lambda: "serving" if server.alive else _ended(),
    }
    end_metrics = serve_metrics(conf, registry, offset=7, health=Health(probes))
    server.start()
    process.wait_for(stop)
    LOG.info("stopping: sessions are ended")
    server.stop(_END)
    end_metrics()
    database.close()
    process.end(in_time=True)


def _ended() -> str:
    raise RuntimeError("the proxy has ended; see the log")


def proxy_of(conf: cfg.ConfigOpts, db: Database, registry: CollectorRegistry) -> ProxyServer | None:
    """The proxy within another process, bound and not started; None where it is switched off.

    Raises CannotServe, ConfigError; OSError: the address can't be had.
    """
    if not conf.websocket_proxy.enabled:
        return None
    return make_proxy(conf, db, registry, each=4)


def told_where(settings: ApiSettings, server: ProxyServer | None) -> ApiSettings:
    """The API's settings with where the proxy of this process is."""
    return replace(settings, wsproxy_port=None if server is None else server.port)


def make_proxy(
    conf: cfg.ConfigOpts,
    db: Database,
    registry: CollectorRegistry,
    *,
    each: int,
) -> ProxyServer:
    """The proxy as configured, bound and not started; `each`: file descriptors of one session.

    Raises CannotServe, ConfigError; OSError: the address can't be had.
    """
    own, port = conf.websocket_proxy, wsproxy_port(conf)
    tls = _tls(conf)
    if own.ssl_only and tls is None:
        raise CannotServe(
            "[websocket_proxy] ssl_only is set, and cert is not: name the certificate"
        )
    base = str(own.base_url or "")
    settings = ProxySettings(
        secure=base.startswith("wss:") if base else tls is not None,
        allowed_origins=frozenset(str(host).lower() for host in own.allowed_origins),
        frame_ancestors=tuple(own.frame_ancestors),
        max_sessions=descriptors_for(own.max_sessions, each),
    )
    try:
        server = ProxyServer(
            db, settings, registry, utcnow, host=own.wsproxy_host, port=port, tls=tls,
            agent_tls=client_context(conf),
        )  # fmt: skip
    except OSError as exc:
        raise OSError(
            f"interactive sessions can't be served on {own.wsproxy_host}:{port} ({exc.strerror}); "
            "set [websocket_proxy] wsproxy_port, or enabled = false in zun-standalone"
        ) from exc
    scheme = "ws" if tls is None else "wss"
    LOG.info("interactive sessions on %s://%s:%d", scheme, own.wsproxy_host, server.port)
    return server


def _tls(conf: cfg.ConfigOpts) -> ssl.SSLContext | None:
    """What clients are met with; None without a certificate. Raises CannotServe."""
    if not conf.websocket_proxy.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(conf, context)
    return context


def reload_on_hangup(conf: cfg.ConfigOpts, server: ProxyServer) -> None:
    """On SIGHUP the certificate is read again, for connections to come. To be called in the main thread."""
    tls = server.tls
    if tls is not None:
        signal.signal(signal.SIGHUP, lambda *_: server.soon(partial(_reload, conf, tls)))


def _reload(conf: cfg.ConfigOpts, tls: ssl.SSLContext) -> None:
    try:
        _load(conf, tls)
    except CannotServe as exc:
        LOG.error("%s; the certificate read before stays", exc)
    else:
        LOG.info("the certificate was read again")


def _load(conf: cfg.ConfigOpts, context: ssl.SSLContext) -> None:
    cert, key = conf.websocket_proxy.cert, conf.websocket_proxy.key
    try:
        # Into one to throw away first: a key that fits no certificate would spoil the one in use.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key or None)
        context.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as exc:
        raise CannotServe(f"[websocket_proxy] cert, key: {cert}, {key or 'no key'}: {exc}") from exc


def descriptors_for(sessions: int, each: int) -> int:
    """How many of `sessions` there may be at `each` descriptors; the process's limit is raised for them."""
    most = process.more_files()
    possible = max(1, min(sessions, (most - _SPARE) // each))
    if possible < sessions:
        LOG.warning(
            "at most %d interactive sessions, not %d: the process may have %d files open (LimitNOFILE of systemd)",
            possible, sessions, most,
        )  # fmt: skip
    return possible


if __name__ == "__main__":
    sys.exit(main())
