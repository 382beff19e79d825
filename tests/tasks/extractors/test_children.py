"""Decoding children: whatever a content does to its decoder, it costs that content its values and nothing else."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from otzyv.schemas.tables import STATUSES
from otzyv.tasks.extractors.contract.contents import audio, image
from otzyv.tasks.media import children
from otzyv.tasks.media.children import ChildFailed, Limits, Outcome, Pool
from otzyv.tasks.media.inputs import AudioInput, ImageInput

ROOT = Path(__file__).parents[3]
HOSTILE = "tests.tasks.extractors.hostile:decode"
PICTURE = ImageInput(resize=32, crop=32)
SOUND = AudioInput()
PILLOW = ROOT.parent / "shared" / "data" / "images" / "pillow"


@pytest.fixture(scope="module")
def hostile() -> Iterator[Pool]:
    pool = Pool(2, decoder=HOSTILE, limits=Limits(image_cpu=2, wall=3600, memory=256 << 20))
    yield pool
    pool.close()


def outcomes(pool: Pool, *orders: str) -> list[Outcome]:
    return decoded(pool, PICTURE, [order.encode() for order in orders])


def decoded(pool: Pool, spec: children.Spec, files: Iterable[bytes]) -> list[Outcome]:
    return list(pool.decode(spec, [(len(file), partial(bytes, file)) for file in files]))


def statuses(pool: Pool, *orders: str) -> list[str]:
    return [status for status, _ in outcomes(pool, *orders)]


def text(outcome: Outcome) -> str:
    status, array = outcome
    assert status == "ok"
    assert array is not None
    return array.tobytes().decode()


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ("spin", "timeout"),
        ("swell", "out_of_memory"),
        ("signal SIGKILL", "out_of_memory"),
        ("signal SIGSEGV", "undecodable"),
        ("exit 3", "undecodable"),
        ("stop", "undecodable"),
        ("refuse", "unsupported"),
        ("large 300000000", "out_of_memory"),
        ("print", "ok"),
    ],
)
def test_a_hostile_content_gets_a_status_and_its_neighbours_their_values(
    hostile: Pool, order: str, status: str
) -> None:
    found = outcomes(hostile, "first", order, "after", "last")
    assert found[1][0] == status
    assert [text(found[place]) for place in (0, 2, 3)] == ["first", "after", "last"]


def test_a_decoder_that_waits_for_ever_is_ended() -> None:
    pool = Pool(1, decoder=HOSTILE, limits=Limits(wall=1))
    try:
        assert statuses(pool, "first", "sleep 3600", "last") == ["ok", "timeout", "ok"]
    finally:
        pool.close()


def test_an_array_larger_than_the_memory_file_is_refused_and_several_large_ones_are_not() -> None:
    pool = Pool(1, decoder=HOSTILE)
    try:
        found = outcomes(pool, "large 270000000", "large 135000000", "large 135000001", "last")
        assert [status for status, _ in found] == ["too_large", "ok", "ok", "ok"]
        assert [array.nbytes for _, array in found if array is not None] == [135_000_000, 135_000_001, 4]
    finally:
        pool.close()


def test_a_culprit_is_tried_twice_at_most(hostile: Pool, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    orders = [f"number {n}" for n in range(64)]
    orders[40] = f"crash {tries}"
    assert Counter(statuses(hostile, *orders)) == {"ok": 63, "undecodable": 1}
    assert tries.stat().st_size <= 2


def test_a_content_is_not_blamed_for_what_an_earlier_one_did_to_the_process(hostile: Pool) -> None:
    assert statuses(hostile, "first", "second", "third", "second") == ["ok"] * 4


def test_a_fault_that_is_not_the_contents_raises(hostile: Pool) -> None:
    with pytest.raises(ChildFailed, match="LookupError") as caught:
        outcomes(hostile, "bug")
    assert "secret" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        list(hostile.decode(PICTURE, [(1, Path("/nowhere/at/all").read_bytes)]))
    broken = Pool(1, decoder="tests.tasks.extractors.nowhere:decode")
    with pytest.raises(ChildFailed, match="nowhere"):
        outcomes(broken, "first")
    broken.close()
    assert statuses(hostile, "again") == ["ok"]


def test_a_content_over_the_limit_is_not_decoded_nor_even_read() -> None:
    pool = Pool(1, decoder=HOSTILE)
    mebibyte = b"x" * (1 << 20)

    def unread() -> bytes:
        raise AssertionError("read")

    try:
        images = [(30 << 20, lambda: mebibyte * 30), ((30 << 20) + 1, unread), (5, lambda: mebibyte * 31)]
        assert [status for status, _ in pool.decode(PICTURE, images)] == ["ok", "too_large", "too_large"]
        assert [status for status, _ in pool.decode(SOUND, [((50 << 20) + 1, unread)])] == ["too_large"]
    finally:
        pool.close()


def test_contents_are_taken_as_they_are_needed(hostile: Pool) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, children.Read]]:
        nonlocal taken
        while True:
            taken += 1
            yield 1, lambda: b"x"

    endlessly = hostile.decode(PICTURE, endless(), ahead=64)
    for _ in range(500):
        next(endlessly)
    endlessly.close()
    assert 500 <= taken <= 500 + 64 + 8


def test_a_child_holds_no_model_library_and_no_secret(hostile: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made up")
    real = ("image", "audio", "container")
    with_real_decoders = " ".join(f"otzyv.tasks.media.{name}" for name in real)
    modules, environment = map(text, outcomes(hostile, f"modules {with_real_decoders}", "environment"))
    loaded = {name.partition(".")[0] for name in modules.split()}
    assert {"numpy", "PIL", "soundfile", "soxr", "simplejpeg", "av"} <= loaded
    assert not loaded & {"torch", "transformers", "openvino", "skimage", "fasttext", "pandas", "prefect", "deltalake"}
    assert not {"AWS_SECRET_ACCESS_KEY", "HOME"} & set(environment.split())


def test_a_child_leaves_no_core_dump(hostile: Pool) -> None:
    assert statuses(hostile, "x", "x", "x", "x", "x", "x", "x", "x") == ["ok"] * 8
    for pid in hostile.pids:
        limits = Path(f"/proc/{pid}/limits").read_text()
        core, data = (next(line for line in limits.splitlines() if name in line) for name in ("core file", "data size"))
        assert core.split()[4:6] == ["0", "0"]
        assert data.split()[3] == str(256 << 20)


def test_closing_leaves_no_process_thread_or_descriptor() -> None:
    before = descriptors(), threading.active_count()
    pool = Pool(2, decoder=HOSTILE, limits=Limits(image_cpu=0.3))
    assert statuses(pool, *["x"] * 20, "exit 3", "y").count("ok") == 21
    pids = pool.pids
    assert pids
    pool.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (descriptors(), threading.active_count()) == before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_consumer_that_stops_ends_the_work_and_the_pool_goes_on(hostile: Pool) -> None:
    orders = ["first", "a", "b", "c", *["sleep 3600"] * 30]
    consumer = hostile.decode(PICTURE, [(5, order.encode) for order in orders])
    assert text(next(consumer)) == "first"
    consumer.close()
    assert statuses(hostile, *["after"] * 20) == ["ok"] * 20


def test_closing_a_pool_in_use_is_an_error_to_its_consumer() -> None:
    pool = Pool(1, decoder=HOSTILE)
    consumer = pool.decode(PICTURE, [(5, order.encode) for order in ["a", "b", "c", "d", "sleep 3600", "e"]])
    assert text(next(consumer)) == "a"
    pool.close()
    with pytest.raises(ChildFailed, match="closed"):
        list(consumer)


def test_threads_share_a_pool(hostile: Pool) -> None:
    found: dict[int, list[str]] = {}

    def consume(number: int) -> None:
        orders = [f"{number} {n}" for n in range(30)]
        orders[number] = "exit 3"
        found[number] = [text(o) if o[0] == "ok" else o[0] for o in outcomes(hostile, *orders)]

    threads = [threading.Thread(target=consume, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        assert found[number] == [f"{number} {n}" if n != number else "undecodable" for n in range(30)]


PROGRAM = f"""
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that it is ignored
sys.path.insert(0, {str(ROOT)!r})
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.media.children import Pool
pool = Pool(1, decoder={HOSTILE!r})
def decode(*orders):
    for status, array in pool.decode(ImageInput(8, 8), [(5, order.encode) for order in orders]):
        print(status, *pool.pids, flush=True)
"""


@pytest.mark.parametrize("how", ["command", "standard input", "file"])
def test_children_work_however_the_program_was_started(how: str, tmp_path: Path) -> None:
    program = PROGRAM + "thread = threading.Thread(target=decode, args=('a', 'b')); thread.start(); thread.join()"
    (tmp_path / "program.py").write_text(program)
    start = {"command": ["-c", program], "standard input": ["-"], "file": [str(tmp_path / "program.py")]}[how]
    done = subprocess.run(
        [sys.executable, "-W", "error", *start], input=program, capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "ok"]


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_children_die_with_their_parent_even_when_busy(death: signal.Signals) -> None:
    program = PROGRAM + "decode('a', 'b', 'c', 'd', 'sleep 3600')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline().split()[1])
        assert alive(child)
        parent.send_signal(death)
        _, complaints = parent.communicate(timeout=60)
    assert complaints.count(b"Traceback") == (death == signal.SIGINT)
    deadline = time.monotonic() + 30
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits for its parent to take note of its death does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mutated(seed: bytes, random: np.random.Generator) -> bytes:
    """A file with some bytes changed, cut out, doubled or cut off; more often near its head, where its sizes stand."""
    data = bytearray(seed)
    for _ in range(random.integers(1, 6)):
        place = int(len(data) * random.random() ** 3)
        length = int(random.integers(1, 9))
        match random.integers(0, 5):
            case 0:
                data[place : place + length] = random.bytes(length)
            case 1:
                data[place : place + length] = random.choice([b"\0", b"\xff"]) * length
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + 64]
            case _:
                data[place : place + 1] = bytes([data[min(place, len(data) - 1)] ^ (1 << random.integers(0, 8))])
    return bytes(data[: int(random.integers(1, len(data)))] if random.random() < 0.1 else data)


@pytest.mark.parametrize(
    ("spec", "seeds"),
    [
        (PICTURE, [image(name, width=64, height=48) for name in ("PNG", "JPEG", "WEBP", "GIF")]),
        (SOUND, [audio(name, seconds=0.2) for name in ("WAV", "OGG")]),
        (SOUND, [audio(name, seconds=0.2) for name in ("M4A", "MP4", "WEBM")]),
    ],
    ids=["images", "audio", "containers"],
)
def test_a_thousand_mutated_files_harm_nothing(spec: ImageInput | AudioInput, seeds: list[bytes]) -> None:
    random = np.random.default_rng(1)
    files = [mutated(seeds[n % len(seeds)], random) for n in range(1000)]
    every = [*seeds, *files, *seeds]
    found = decoded(children.pool(), spec, every)
    assert len(found) == len(every)
    counts = Counter(status for status, _ in found)
    assert set(counts) <= set(STATUSES)
    assert counts["ok"] > 0
    assert counts["undecodable"] > 0
    for (_, early), (_, late) in zip(found[: len(seeds)], found[-len(seeds) :], strict=True):
        np.testing.assert_array_equal(early, late)
    assert all(peak(pid) < 1 << 30 for pid in children.pool().pids)


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def test_a_decompression_bomb_is_too_large() -> None:
    file = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(file, "PNG")
    bomb, innocent = file.getvalue(), image("PNG")
    found = decoded(children.pool(), PICTURE, [innocent, bomb])
    assert [status for status, _ in found] == ["ok", "too_large"]


@pytest.mark.skipif(not PILLOW.exists(), reason="no shared/data/images/pillow")
def test_pillows_own_odd_and_broken_images_get_a_status() -> None:
    files = [path.read_bytes() for path in sorted(PILLOW.iterdir()) if path.is_file()]
    found = decoded(children.pool(), PICTURE, files)
    counts = Counter(status for status, _ in found)
    assert counts.total() == len(files)
    assert set(counts) <= {"ok", "undecodable", "unsupported", "too_large"}
