"""TLS between agents and those who connect to their byte streams: one authority, a certificate on either side."""

from __future__ import annotations

import ssl

from oslo_config import cfg

from zun.conf import ConfigError, is_loopback


def agent_context(conf: cfg.ConfigOpts) -> ssl.SSLContext | None:
    """What an agent meets clients with, whose certificates it verifies; None without one.

    Raises OSError; ConfigError: it would be plain text for others to see, and nobody says that it may.
    """
    own = conf.agent_streams
    if not (own.cert_file or own.allow_plain_text or is_loopback(own.host_ip)):
        raise ConfigError(
            f"[agent_streams] host_ip = {own.host_ip} is not loopback, and without cert_file, key_file and ca_file "
            "everybody on the way can read and write sessions and files: name certificates, or set "
            "allow_plain_text = true where nobody else is on that network"
        )
    return _context(conf, ssl.PROTOCOL_TLS_SERVER)


def client_context(conf: cfg.ConfigOpts) -> ssl.SSLContext | None:
    """What zun-wsproxy and the API meet agents with, whose certificates and names they verify. Raises OSError."""
    return _context(conf, ssl.PROTOCOL_TLS_CLIENT)


def _context(conf: cfg.ConfigOpts, protocol: ssl._SSLMethod) -> ssl.SSLContext | None:
    own = conf.agent_streams
    if not own.cert_file:
        return None
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(own.cert_file, own.key_file)
        context.load_verify_locations(own.ca_file)
    except OSError as exc:
        raise OSError(
            f"[agent_streams] cert_file, key_file, ca_file: {exc.strerror or exc}; "
            "the service must be able to read all three, and the key must be of the certificate"
        ) from exc
    return context
