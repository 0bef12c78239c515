"""`zun-api`: the HTTP API in a process of its own; and the application that it and any WSGI server serve."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oslo_config import cfg

from zun.api.app import build_app
from zun.api.policies.enforcer import Enforcer
from zun.api.settings import ApiSettings
from zun.cmd import arguments, identity, keys, process, separate
from zun.cmd.metrics import serve_metrics
from zun.cmd.serving import ApiServer
from zun.cmd.streams import port_of
from zun.cmd.tls import client_context
from zun.cmd.wiring import build_api

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)

KIND = "zun-api"
_DESCRIPTION = """\
Serves the HTTP API on [api] host_ip and port. It keeps nothing: any number may run, behind a load balancer. In a
cloud the same application usually runs in a WSGI server, as zun.wsgi.api:application; see docs/how-to/deploy.md.

  zun-api --config-file /etc/zun/zun.conf

Its health is at /healthcheck, its figures at [metrics] host_ip, port: /metrics.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The API on its ground, which is not started."""

    base: separate.Base
    wsgi: WSGIApplication


def build(conf: cfg.ConfigOpts) -> Application:
    """The API of `conf`. Raises what `arguments.EXPECTED` names."""
    authenticate = identity.authentication(conf)
    secrets = keys.load(conf)
    base = separate.begin(conf, KIND)
    with separate.or_else(base.stop):
        keys.check(base.ground.db, secrets)
        services = build_api(
            base.ground, secrets=secrets, probes={"bus": base.bus.probe}, tls=client_context(conf)
        )
        wsgi = build_app(
            services, _settings(conf, base.ground.settings.api), authenticate, Enforcer(conf=conf),
            base.registry, identity.front(conf),
        )  # fmt: skip
    return Application(base=base, wsgi=wsgi)


def _settings(conf: cfg.ConfigOpts, settings: ApiSettings) -> ApiSettings:
    """With where zun-streams is, unless [streams] base_url says so or it is switched off."""
    if not conf.streams.enabled:
        return replace(settings, streams_url=None)
    return replace(settings, streams_port=port_of(conf) or None)


def serve(conf: cfg.ConfigOpts) -> int:
    """Serves until SIGTERM; 0. Raises what `arguments.EXPECTED` names."""
    stop = process.told_to_stop()
    made = build(conf)
    server = ApiServer(made.wsgi, conf)
    end_metrics = serve_metrics(conf, made.base.registry, offset=1)
    made.base.start()
    server.start()
    LOG.info("serving on http://%s:%d", conf.api.host_ip, conf.api.port)
    process.wait_for(stop)
    LOG.info("stopping: no new requests")
    server.stop()
    end_metrics()
    made.base.stop()
    process.end(in_time=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    return arguments.run(KIND, _DESCRIPTION, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
