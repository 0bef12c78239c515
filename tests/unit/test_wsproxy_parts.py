"""The parts of the proxy that need no connection: what a request asks, whose page may ask, what goes to a client."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.typing import Subprotocol

import zun.wsproxy
from zun.model.session import Denied
from zun.wsproxy import dialects
from zun.wsproxy.pages import Pages
from zun.wsproxy.refusal import Refusal, refusal_of
from zun.wsproxy.text import Utf8
from zun.wsproxy.wish import check_origin, wish_of

UUID = "11111111-2222-3333-4444-555555555555"
TOKEN = "A" * 43
EXEC = "e" * 64
CONSOLE = Path(zun.wsproxy.__file__).parent / "console"


# ---- the query


def test_a_query_is_read() -> None:
    wish = wish_of(f"token={TOKEN}&uuid={UUID}")
    assert (wish.token, wish.container_uuid, wish.exec_id) == (TOKEN, UUID, None)
    assert wish_of(f"token={TOKEN}&uuid={UUID}&exec_id={EXEC}").exec_id == EXEC
    assert TOKEN not in repr(wish)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "token"),
        (f"uuid={UUID}", "token"),
        (f"token={TOKEN}", "uuid"),
        (f"token={TOKEN}&token={TOKEN}&uuid={UUID}", "token"),
        (f"token={'A' * 129}&uuid={UUID}", "token"),
        (f"token=&uuid={UUID}", "token"),
        (f"token={TOKEN}%00&uuid={UUID}", "token"),
        (f"token={TOKEN}&uuid=web", "uuid"),
        (f"token={TOKEN}&uuid={UUID}&exec_id=", "exec_id"),
        (f"token={TOKEN}&uuid={UUID}&exec_id=..", "exec_id"),
        ("&".join(f"a{n}=1" for n in range(30)), "query"),
    ],
)
def test_what_is_wrong_in_a_query_is_named(query: str, named: str) -> None:
    with pytest.raises(Refusal) as raised:
        wish_of(query)
    assert raised.value.status == 400
    assert raised.value.reason.startswith(f"{named}:")
    assert TOKEN not in raised.value.reason


@given(st.text())
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        wish_of(query)
    except Refusal as refusal:
        assert refusal.status == 400


# ---- whose page may ask (contract 5.3)

ALLOWED = frozenset({"dashboard.example.com"})


@pytest.mark.parametrize(
    ("origin", "host", "forwarded", "secure"),
    [
        (None, "zun.example.com", None, True),
        (None, None, None, False),
        ("http://zun.example.com:6784", "zun.example.com:6784", None, False),
        ("http://zun.example.com:None", "zun.example.com", None, False),
        ("http://zun.example.com:99999999", "zun.example.com:1", None, False),
        ("https://zun.example.com:None", "zun.example.com", None, True),
        ("HTTPS://ZUN.example.com", "zun.EXAMPLE.com:443", None, True),
        ("http://[::1]:None", "[::1]:6784", None, False),
        ("http://[::1]", "[::1]", None, False),
        ("https://dashboard.example.com", "zun.example.com", None, True),
        ("https://dashboard.example.com:8443", None, None, True),
        ("wss://zun.example.com", "zun.example.com", None, True),
        # A proxy that ends TLS says what the scheme was; what it says wins.
        ("http://zun.example.com", "zun.example.com", "https", True),
        ("https://zun.example.com", "zun.example.com", "http", False),
        ("https://zun.example.com", "zun.example.com", "https, http", True),
    ],
)
def test_quirk_20_pages_that_may_ask(
    origin: str | None, host: str | None, forwarded: str | None, secure: bool
) -> None:
    check_origin(origin, host, forwarded, secure=secure, allowed=ALLOWED)


@pytest.mark.parametrize(
    ("origin", "host", "forwarded", "secure", "why"),
    [
        ("https://evil.example.com", "zun.example.com", None, True, "origin"),
        ("https://zun.example.com.evil.com", "zun.example.com", None, True, "origin"),
        ("https://evil.com/zun.example.com", "zun.example.com", None, True, "origin"),
        ("https://zun.example.com@evil.com", "zun.example.com", None, True, "origin"),
        ("null", "zun.example.com", None, True, "origin"),
        ("", "zun.example.com", None, True, "origin"),
        ("", "", None, True, "origin"),
        ("null", None, None, True, "origin"),
        ("https://[::1", "[::1", None, True, "origin"),
        ("https://zun.example.com", None, None, True, "origin"),
        ("http://zun.example.com", "zun.example.com", None, True, "scheme"),
        ("https://zun.example.com", "zun.example.com", None, False, "scheme"),
        ("file://zun.example.com", "zun.example.com", None, False, "scheme"),
        ("https://zun.example.com", "zun.example.com", "http", True, "scheme"),
        ("https://zun.example.com", "zun.example.com", "", True, "scheme"),
    ],
)
def test_pages_that_may_not_ask(
    origin: str, host: str | None, forwarded: str | None, secure: bool, why: str
) -> None:
    with pytest.raises(Refusal) as raised:
        check_origin(origin, host, forwarded, secure=secure, allowed=ALLOWED)
    assert (raised.value.status, raised.value.why) == (403, why)


def test_defect_05_the_host_of_one_request_does_not_allow_the_next() -> None:
    check_origin("https://a.com", "a.com", None, secure=True, allowed=ALLOWED)
    with pytest.raises(Refusal):
        check_origin("https://a.com", "b.com", None, secure=True, allowed=ALLOWED)


@given(st.text(), st.text(), st.none() | st.text(), st.booleans())
def test_any_headers_pass_or_are_refused(
    origin: str, host: str, forwarded: str | None, secure: bool
) -> None:
    try:
        check_origin(origin, host, forwarded, secure=secure, allowed=ALLOWED)
    except Refusal as refusal:
        assert refusal.status == 403


def test_who_guesses_learns_nothing() -> None:
    alike = {
        (r.status, r.reason)
        for r in map(refusal_of, (Denied.UNKNOWN, Denied.OTHER_CONTAINER, Denied.OTHER_EXEC))
    }
    assert len(alike) == 1
    assert {refusal_of(d).status for d in (Denied.USED, Denied.EXPIRED)} == {410}
    assert refusal_of(Denied.NOT_RUNNING).status == 409


# ---- what goes to a client


@given(st.text(min_size=1), st.lists(st.integers(min_value=1, max_value=7), min_size=1))
def test_characters_are_never_cut(text: str, sizes: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    cutter, out, at, n = Utf8(), b"", 0, 0
    while at < len(data):
        size = sizes[n % len(sizes)]
        piece = cutter.feed(data[at : at + size])
        piece.decode("utf-8", "strict")
        out += piece
        at, n = at + size, n + 1
    assert out + cutter.flush() == data


@given(st.lists(st.binary(max_size=9)))
def test_any_bytes_come_out_as_text_each(pieces: list[bytes]) -> None:
    cutter = Utf8()
    out = [*map(cutter.feed, pieces), cutter.flush()]
    assert "".join(piece.decode("utf-8", "strict") for piece in out) == b"".join(pieces).decode(
        "utf-8", "replace"
    )


def test_at_most_three_bytes_wait() -> None:
    cutter = Utf8()
    assert cutter.feed(b"a\xf0\x9f\x98") == b"a"
    assert cutter.feed(b"\x80b") == "\U0001f600b".encode()
    assert cutter.feed(b"\xf0\x9f\x98") == b""
    assert cutter.flush() == "\ufffd".encode()
    assert cutter.flush() == b""


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ([], None),
        (["binary", "base64"], "binary"),
        (["base64", "binary"], "binary"),
        (["null"], "null"),
        (["anything", "else"], "anything"),
        (["binary", "zun.console.v1"], "zun.console.v1"),
    ],
)
def test_quirk_20_sub_protocols(offered: list[str], answered: str | None) -> None:
    assert dialects.chosen([Subprotocol(name) for name in offered]) == answered


def test_quirk_20_only_browsers_are_pinged() -> None:
    pinged = [
        p for p in (None, "binary", "base64", "null", "zun.console.v1") if dialects.is_pinged(p)
    ]
    assert pinged == ["null", "zun.console.v1"]


def test_a_size_is_read() -> None:
    assert dialects.size_of('{"resize": {"rows": 24, "columns": 80}}') == (24, 80)


@pytest.mark.parametrize(
    "message",
    ["", "x", "[]", "{}", '{"resize": 1}', '{"resize": {"rows": 0, "columns": 80}}',
     '{"resize": {"rows": true, "columns": 80}}', '{"resize": {"rows": 24.5, "columns": 80}}',
     '{"resize": {"rows": 24, "columns": 10001}}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_size(message: str) -> None:
    with pytest.raises(dialects.Misspoken):
        dialects.size_of(message)


# ---- the page


def test_the_page_lets_in_nothing_from_elsewhere() -> None:
    page = Pages().find("/console/", "")
    assert page is not None and page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self' 'unsafe-inline'",
        "connect-src": "'self'", "img-src": "'self'", "base-uri": "'none'",
        "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"


def test_the_operator_says_who_may_frame_it() -> None:
    page = Pages(["https://dashboard.example.com"]).find("/console/", "")
    assert page is not None
    assert (
        "frame-ancestors https://dashboard.example.com" in page.headers["Content-Security-Policy"]
    )
    assert "X-Frame-Options" not in page.headers


def test_everything_the_page_names_is_there_and_nothing_else() -> None:
    pages = Pages()
    html = (CONSOLE / "index.html").read_text()
    named = [part.split('"')[0] for key in ('src="', 'href="') for part in html.split(key)[1:]]
    assert len(named) == 6
    for name in named:
        assert pages.find(f"/console/{name}", "") is not None, name
        assert pages.find(f"/some/prefix/console/{name}", "") is not None
    for path in (
        "/",
        "/console",
        "/console/x",
        "/console/../x",
        "/console/vendor/lock.json",
        "/console/a/b",
    ):
        assert pages.find(path, "") is None
    assert "<script>" not in html and "onclick" not in html and "style=" not in html
    assert "//" not in html.replace("<!doctype", "")


def test_it_is_compressed_for_who_takes_that() -> None:
    pages = Pages()
    plain, packed = (
        pages.find("/console/xterm.js", "identity"),
        pages.find("/console/xterm.js", "gzip, br"),
    )
    assert plain is not None and packed is not None
    assert gzip.decompress(bytes(packed.body)) == plain.body
    assert packed.headers["Content-Length"] == str(len(packed.body))
    refused = pages.find("/console/xterm.js", "gzip;q=0")
    assert refused is not None and "Content-Encoding" not in refused.headers


def test_what_came_from_elsewhere_is_what_was_locked() -> None:
    """scripts/vendor-console writes both; nobody edits them by hand."""
    lock = json.loads((CONSOLE / "vendor/lock.json").read_text())
    hashes = dict(lock["licenses"])
    for package in lock["packages"].values():
        assert package["integrity"].startswith("sha512-")
        assert package["license"] == "MIT"
        hashes |= package["files"]
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (CONSOLE / "vendor").iterdir()
        if path.name != "lock.json"
    }
    assert there == hashes
