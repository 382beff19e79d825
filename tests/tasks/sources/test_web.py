"""Files are fetched from allowed hosts alone, at public addresses alone, and nothing that a host does can hurt."""

from __future__ import annotations

import hashlib
import io
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from otzyv.tasks.sources import Attachment, AttachmentRef
from otzyv.tasks.sources.web import FetchFailed, Web, host_name, is_public
from tests.tasks.sources.web import HOST, PNG, PUBLIC, Served, certificate, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture
def served(server: Served) -> Served:
    for told in (server.asked, server.headers, server.reached):
        told.clear()
    return server


def fetched(web: Web, uri: str, kind: str = "image") -> tuple[Attachment, bytes]:
    into = io.BytesIO()
    return web.fetch(AttachmentRef(kind, uri), into), into.getvalue()


def test_a_file_is_fetched_by_its_own_address_and_nothing_is_told_of_us(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for uri, path in (
        (f"https://{HOST}/a/1.png?key=1&b=%20", "/a/1.png?key=1&b=%20"),
            (f" HTTPS://{HOST.upper()}:443/1.png#x ", "/1.png"),
        (f"https://{HOST}/фото.png?q=я", "/%D1%84%D0%BE%D1%82%D0%BE.png?q=%D1%8F"), (f"https://{HOST}", "/"),
    ):  # fmt: skip
        found, data = fetched(served.web(), uri)
        assert data == PNG + path.encode()
        assert found == Attachment("image", "ok", None, "image/png", len(data), hashlib.sha256(data).hexdigest(), None)
        assert served.asked.pop() == path
    assert set(served.reached) == {PUBLIC}
    for headers in served.headers:
        assert headers.keys() == {"Host", "Accept-Encoding", "User-Agent", "Accept", "Connection"}
        assert headers["Host"] == HOST


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("https://example.org/1.png", "host not allowed"), (f"https://x.{HOST}/1.png", "host not allowed"),
        (f"https://{HOST}.example.org/", "host not allowed"), (f"https://{HOST}:8443/1.png", "host not allowed"),
        (f"https://{HOST}./1.png", "host not allowed"), (f"https://me:pw@{HOST}/1.png", "a URL"),
        (f"https://{HOST}@evil.example/1.png", "a URL"), (f"https://evil.example\\@{HOST}/1.png", "a URL"),
        (f"https://{HOST}\\.evil.example/", "a URL"), ("https://127.0.0.1/1.png", "host not allowed"),
        ("https://[::1]/1.png", "host not allowed"), ("https://[::1", "a URL"), ("https:///1.png", "host not allowed"),
        (f"https://{HOST}/1 2.png", "a URL"), (f"https://{HOST}:x/", "a URL"),
        ("https://2130706433/", "host not allowed"),
        (f"https://{HOST}/302", "a redirect"), (f"https://{HOST}/301", "a redirect"),
        (f"https://{HOST}/307", "a redirect"),
        (f"https://{HOST}/404", "not found"), (f"https://{HOST}/410", "not found"),
        (f"https://{HOST}/401", "refused by the host"), (f"https://{HOST}/418", "refused by the host"),
        (f"https://{HOST}/huge", "too large"), (f"https://{HOST}/endless", "too large"),
        (f"https://{HOST}/words.png", "no known type"), (f"https://{HOST}/sound.png", "another kind"),
        (f"https://{HOST}/empty.png", "empty file"),
    ],
)  # fmt: skip
def test_what_is_not_taken_has_a_reason(served: Served, uri: str, reason: str) -> None:
    found, _ = fetched(served.web(longest=20), uri)
    assert (found.reason, found.sha256, found.path) == (reason, None, None)
    assert found.status != "ok"
    if reason in ("host not allowed", "a URL"):
        assert not served.reached, "nobody is asked"
    assert len(served.asked) <= 1


def test_with_no_host_allowed_nobody_is_asked(served: Served) -> None:
    web = served.web(hosts=frozenset())
    assert fetched(web, f"https://{HOST}/1.png")[0].reason == "a URL"
    assert not served.reached
    assert Web().hosts == frozenset(), "which is how it is unless a setting says otherwise"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["10.0.0.1"], ["172.31.0.1"], ["192.168.1.1"], ["169.254.169.254"],
        ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"], ["255.255.255.255"], ["198.18.0.1"], ["::1"], ["::"],
        ["fe80::1"], ["fe80::1%eth0"], ["fc00::1"], ["fec0::1"], ["ff02::1"], ["::ffff:127.0.0.1"], ["::ffff:a00:1"],
        ["::ffff:0:7f00:1"], ["64:ff9b::7f00:1"], ["64:ff9b:1::a00:1"], ["2002:7f00:1::"], ["2001:0:1::1"],
        ["2001:db8::1"], ["::127.0.0.1"], ["100::1"], ["5f00::1"], ["not an address"], ["127.1"], ["0177.0.0.1"],
    ],
)  # fmt: skip
def test_a_name_that_leads_to_this_network_is_not_asked(served: Served, addresses: list[str]) -> None:
    found, _ = fetched(served.web(resolve=lambda host: addresses), f"https://{HOST}/1.png")
    assert found.reason == "a private address"
    assert not served.reached


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a02:6b8::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(served: Served) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    found, _ = fetched(served.web(resolve=lambda host: next(answers)), f"https://{HOST}/1.png")
    assert (found.status, served.reached) == ("ok", [PUBLIC]), "the name is looked up once"


def test_an_address_that_does_not_answer_gives_way_to_the_next(served: Served) -> None:
    def connect(address: str, port: int, seconds: float) -> object:
        if address == PUBLIC:
            raise ConnectionRefusedError("refused")
        return served.connect(address, port, seconds)

    found, _ = fetched(served.web(resolve=lambda host: [PUBLIC, "8.8.8.8"], connect=connect), f"https://{HOST}/1.png")
    assert (found.status, served.reached) == ("ok", ["8.8.8.8"])


@pytest.mark.parametrize("what", ["500", "silent", "drip", "dripping-headers", "short", "nonsense"])
def test_a_host_that_fails_is_an_environment_that_may_be_well_the_next_time(served: Served, what: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        FetchFailed, match=rf"^{HOST}: an attached file could not be fetched: .*attachment_hosts$"
    ) as told:
        fetched(served.web(tries=2), f"https://{HOST}/{what}/ivan?key=secret")
    assert time.monotonic() - began < 8, "never longer than the tries may take"
    assert len(served.asked) == 2
    assert "secret" not in str(told.value)
    assert "ivan" not in str(told.value)


def test_a_busy_host_is_asked_again(served: Served) -> None:
    served.busy = 2
    found, data = fetched(served.web(), f"https://{HOST}/busy")
    assert (found.status, data, len(served.asked)) == ("ok", PNG, 3)


def test_a_host_that_does_not_prove_its_name_is_told_nothing(served: Served, tmp_path: Path) -> None:
    other = partial(ssl.create_default_context, cafile=certificate(tmp_path, HOST))
    with pytest.raises(FetchFailed, match=f"it does not prove that it is {HOST}"):
        fetched(served.web(trust=other), f"https://{HOST}/1.png")
    assert len(served.reached) == 1, "a second try would not help"
    with serving(tmp_path, "other.example") as elsewhere:
        with pytest.raises(FetchFailed, match=f"it does not prove that it is {HOST}"):
            fetched(elsewhere.web(), f"https://{HOST}/1.png")
        assert not elsewhere.asked
    assert not served.asked


def test_a_name_that_can_not_be_looked_up_is_told(served: Served) -> None:
    def resolve(host: str) -> list[str]:
        raise OSError("no name server answers")

    with pytest.raises(FetchFailed, match="no name server answers"):
        fetched(served.web(resolve=resolve), f"https://{HOST}/1.png")
    with pytest.raises(FetchFailed, match="its name has no address"):
        fetched(served.web(resolve=lambda host: []), f"https://{HOST}/1.png")


@pytest.mark.parametrize(
    ("text", "name"),
    [("CDN.example.ru", HOST), (" cdn.example.ru ", HOST), ("фото.рф", "xn--n1aalg.xn--p1ai"), ("a", "a")],
)
def test_hosts_are_names(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "https://a.ru", "a.ru/", "a.ru:443", "*.a.ru", "a..ru", ".a.ru", "a.ru.", "a b", "-a"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no host's name; write it as cdn\.example\.ru"):
        host_name(text)
