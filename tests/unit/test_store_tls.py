"""TLS to the database, as docs/how-to/databases.md has it: the server's certificate is looked at, and its name."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.engine import make_url
from tests.support import databases
from tests.support.service import free_port

from zun.store.database import Database
from zun.store.errors import Unavailable

pytestmark = pytest.mark.databases(*databases.SERVERS)

#: What a URL says for a server that has to prove who it is.
STRICT = {
    databases.MARIADB: {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": "{ca}"},
    databases.POSTGRESQL: {"sslmode": "verify-full", "sslrootcert": "{ca}"},
}
SEEN = {
    databases.MARIADB: "SELECT variable_value FROM information_schema.session_status "
    "WHERE variable_name = 'Ssl_version'",
    databases.POSTGRESQL: "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
}


def certificate(folder: Path, address: str) -> Path:
    """An authority, and a server's certificate for `address` signed by it: ca.pem, cert.pem, key.pem."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])

    def signed(name: str, whose: Any, number: int, more: Any) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = x509.CertificateBuilder(
            issuer, subject, whose.public_key(), number, now - day, now + day
        )
        return (
            made.add_extension(more, critical=False)
            .sign(authority, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    folder.mkdir()
    folder.chmod(0o755)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    (folder / "ca.pem").write_bytes(
        signed("authority", authority, 1, x509.BasicConstraints(True, None))
    )
    (folder / "cert.pem").write_bytes(signed("server", key, 2, names))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user may enter."""
    path = Path(tempfile.mkdtemp(prefix="zun-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def start(kind: str, place: Path, own: Path) -> Any:
    """A server with the certificate in `own`."""
    files = {name: own / f"{name}.pem" for name in ("ca", "cert", "key")}
    name = {databases.MARIADB: "MariaDB", databases.POSTGRESQL: "PostgreSQL"}[kind]
    settings = {
        databases.MARIADB: [f"ssl-{n}={p}" for n, p in files.items()],
        databases.POSTGRESQL: ["ssl=on", *(f"ssl_{n}_file={files[n]}" for n in ("cert", "key"))],
    }[kind]
    server = getattr(databases.workbench(kind), name)(
        place / kind, durable=False, address="127.0.0.1", port=free_port(), settings=settings
    )
    files["key"].chmod(0o600)
    if os.geteuid() == 0:
        user = {databases.MARIADB: "mysql", databases.POSTGRESQL: "postgres"}[kind]
        shutil.chown(files["key"], user, user)
    server.start()
    return server


def test_the_server_has_to_prove_who_it_is(place: Path, kind: str) -> None:
    own = certificate(place / "own", "127.0.0.1")
    forged, elsewhere = (
        certificate(place / "forged", "127.0.0.1"),
        certificate(place / "b", "10.9.9.9"),
    )
    server = start(kind, place, own)
    try:
        url = make_url(server.create("zun", "zun", "secret"))

        def version(ca: Path) -> str:
            query = {key: value.format(ca=ca / "ca.pem") for key, value in STRICT[kind].items()}
            db = Database(url.update_query_dict(query).render_as_string(hide_password=False))
            try:
                with db.read() as conn:
                    return str(conn.exec_driver_sql(SEEN[kind]).scalar_one())
            finally:
                db.close()

        assert version(own) == "TLSv1.3"
        with pytest.raises(Unavailable):
            version(forged)
    finally:
        server.stop()
    # The right authority, and another server's name.
    shutil.rmtree(place / kind)
    server = start(kind, place, elsewhere)
    try:
        url = make_url(server.create("zun", "zun", "secret"))
        with pytest.raises(Unavailable):
            version(elsewhere)
    finally:
        server.stop()


def test_the_words_in_the_documentation_are_these(kind: str) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/databases.md").read_text()
    assert "&".join(f"{k}={v.partition('{')[0]}" for k, v in STRICT[kind].items()) in page
