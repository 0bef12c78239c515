"""Ports that follow from others where none is set."""

from __future__ import annotations

from oslo_config import cfg

#: Upstream's, of zun-wsproxy and of the API.
_WSPROXY, _API = 6784, 9517


def wsproxy_port(conf: cfg.ConfigOpts) -> int:
    """Where zun-wsproxy is. A second service on a machine has another API port, and is not in the way of the first."""
    own: int | None = conf.websocket_proxy.wsproxy_port
    if own is not None:
        return own
    api: int = conf.api.port
    return _WSPROXY if api == _API else api + 6
