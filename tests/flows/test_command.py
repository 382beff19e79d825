"""The command explains itself, does what its examples and the documents say, and errs in one line that would help."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from otzyv.flows.backfill import Backfill
from otzyv.flows.command.main import main
from otzyv.flows.settings import load
from otzyv.tasks.extractors.settings import WrongSettings
from tests.bench.__main__ import main as bench
from tests.flows.command import Otzyv, command, review

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS_MORE = (
    "otzyv serve", "models pull", "models verify", "models export", "models import", "train sentiment", "s3://",
    "releases approve", "rollback", "otzyv adapt", "text_loudness", "alerts test",
)  # fmt: skip
"""Examples that need a network, weights, a bucket, minutes, a fault, a receiver or an extractor that another test adds:
only their arguments are read here."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        if isinstance(one, click.Group):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


def written(text: str) -> list[str]:
    """The commands that a document names: lines of blocks of a shell, and those between backticks."""
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if language in ("", "sh") for line in block.splitlines()]
    between = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    named = [_bare(" ".join(line.split())) for line in between]
    return [*map(_bare, lines), *(line for line in named if re.match(r"(otzyv|make|prefect|python) ", line))]


def _bare(line: str) -> str:
    """A command without what it finds in its environment, the place of the environment, and a comment."""
    return re.sub(r"^([A-Z_]+=\S+ )+", "", line).removeprefix(".venv/bin/").split("  #")[0].strip()


@pytest.mark.parametrize("path", [path for path, _ in commands(main)], ids=" ".join)
def test_every_command_explains_itself_with_an_example_of_itself(path: tuple[str, ...]) -> None:
    shown = command(*path, "--help")
    assert shown.exit_code == 0
    about, _, example = shown.output.partition("Example:\n")
    assert re.search(r"^  [A-Z][^\n]+", about, re.M)
    assert example.strip().startswith(" ".join(("otzyv", *path)))


def test_every_command_that_ends_with_a_result_tells_it_to_programs_as_well() -> None:
    told = {path for path, one in commands(main) if any(param.name == "as_json" for param in one.params)}
    results = {path for path, one in commands(main) if not isinstance(one, click.Group) or one.invoke_without_command}
    assert results - told == {("serve",), ("demo",)}


def test_examples_and_the_commands_of_the_documents_run(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(otzyv.source)
    shutil.copytree(ROOT / "infra" / "demo" / "reviews", "infra/demo/reviews")
    shutil.copytree(ROOT / "docs", "docs")
    Path("ru_goemotions").mkdir()
    Path("weights.tar").touch()
    Path("ARCHIVE").touch()
    examples = [line for _, one in commands(main) for line in str(one.epilog).splitlines()]
    said = dict.fromkeys([*examples, *(line for path in DOCUMENTS for line in written(path.read_text()))])
    known = dict(commands(main))
    for line in said:
        program, *arguments = shlex.split(line)
        if program != "otzyv":
            continue
        words = tuple(word for word in arguments[:2] if word.islower() and "-" not in word)
        one = known.get(words) or known[words[:1]]
        if words == (*arguments,) and "lake" in {param.name for param in one.params}:
            continue  # named in a sentence, of no lake
        with pytest.MonkeyPatch.context() as patch:
            if any(what in line for what in NEEDS_MORE) or re.search(r"\b[A-Z]{3,}\b", line):
                patch.setattr(one, "callback", lambda **_: None)
            done = command(*arguments)
        assert done.exit_code == 0, f"{line}: {done.output}"
    for path in DOCUMENTS:
        for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
            if "Lake(" in block and not any(what in block for what in NEEDS_MORE):
                exec(block, {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_documents_name_beside_otzyv_is_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """make's targets, tests and benchmarks; prefect's commands are run in tests/infra/test_prefect_yaml.py."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    monkeypatch.setattr("tests.bench.__main__.measured", lambda _: iter(()))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    for line in written(path.read_text()):
        program, *arguments = shlex.split(line)
        match [program, *arguments]:
            case ["make", *wanted]:
                assert {target for target in wanted if "=" not in target} <= targets, line
            case ["python", "-m", "pytest", where, *_]:
                assert list((ROOT / where).glob("**/test_*.py")) or (ROOT / where).is_file(), line
            case ["python", "-m", "tests.bench", *options]:
                assert bench(options) == 0, line
            case ["python", "-m", module, *_]:
                assert find_spec(module), line
            case ["otzyv" | "prefect", *_]:
                pass
            case _:
                pytest.fail(f"{path.name}: nothing runs {line!r}; a block that is no command begins with ```text")


def test_the_shell_completes_commands_and_options() -> None:
    (line,) = [line for line in re.findall("`(eval .*?)`", (ROOT / "README.md").read_text()) if "COMPLETE" in line]
    for words, wanted in (("otzyv ba", "backfill"), ("otzyv run --sou", "--source"), ("otzyv models pu", "pull")):
        asked = f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; _otzyv_completion otzyv"
        done = subprocess.run(
            ["bash", "-c", f'{line}; {asked}; echo "${{COMPREPLY[@]}}"'],
            capture_output=True, text=True, check=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert wanted in done.stdout.split(), done


def test_the_documents_name_all_that_the_api_takes_for_a_backfill() -> None:
    said = (ROOT / "docs" / "operations.md").read_text()
    (named,) = re.findall(r"takes `lake` and `request`, an object of(.*?), each of which", said, re.DOTALL)
    assert re.findall("`(.*?)`", named) == list(Backfill.model_fields)


def test_the_settings_of_the_documents_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for path in DOCUMENTS for block in re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL)]
    assert len(blocks) == sum(path.read_text().count("```toml") for path in DOCUMENTS) >= 2
    for number, block in enumerate(block for block in blocks if not block.startswith("# pyproject.toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(re.sub("<commit, 40 hex digits>", "0" * 40, block))
        monkeypatch.setenv("OTZYV_SETTINGS", str(path))
        assert load().model_fields_set


WRONG = {
    "no source": (["run", "--lake", "LAKE"], 2, "Missing option '--source'"),
    "source not there": (
        ["run", "--source", "SOURCE/nowhere", "--lake", "LAKE"],
        1,
        "nowhere is not there; a source is",
    ),
    "no such day": (["run", "--source", "SOURCE/{day}.jsonl", "--lake", "LAKE"], 1, "no such path for any day"),
    "source of no known kind": (
        ["run", "--source", "SOURCE/notes.txt", "--lake", "LAKE"],
        1,
        "files end in .csv, .tsv, ",
    ),
    "models of an odd place": (["models", "--lake", "ftp://x"], 2, "a folder or s3://bucket/path"),
    "lake at an odd place": (["run", "--source", "SOURCE", "--lake", "ftp://x"], 2, "a folder or s3://bucket/path"),
    "lake without a name": (["plan", "--lake", ""], 2, "a folder or s3://bucket/path"),
    "budget that is no number": (["backfill", "--lake", "LAKE", "--budget", "nan"], 2, "no amount of money"),
    "components of no table": (["schema", "pca_x"], 2, "there are: sentiment_mini"),
    "no lake": (["features", "--lake", "LAKE"], 1, "`otzyv run --source PATH --lake"),
    "unknown extractor": (["features", "--lake", "LAKE", "--extractors", "image_clip"], 2, "there are: sentiment_mini"),
    "no extractor": (["features", "--lake", "LAKE", "--extractors", " ,"], 2, "name at least one of: sentiment_mini"),
    "unknown profile": (["run", "--source", "SOURCE", "--lake", "LAKE", "--profile", "x"], 2, "there are: embedded"),
    "both": (["features", "--lake", "L", "--extractors", "audio_mfcc", "--profile", "embedded"], 2, "give either"),
    "no day": (["features", "--lake", "LAKE", "--day", "1 марта"], 2, "write it as 2026-03-01"),
    "day and days": (
        ["features", "--lake", "L", "--day", "2026-03-01", "--from", "2026-03-01"],
        2,
        "give either --day",
    ),
    "half a range": (["features", "--lake", "LAKE", "--from", "2026-03-01"], 2, "--from and --to go together"),
    "range backwards": (["features", "--lake", "L", "--from", "2026-03-02", "--to", "2026-03-01"], 2, "comes after"),
    "unknown table of the dictionary": (["schema", "x"], 2, "there are: reviews"),
    "unknown weights": (["models", "pull", "x"], 2, "sentiment_mini"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_is_one_line_that_says_what_would_have_worked_and_makes_no_lake(otzyv: Otzyv, case: str) -> None:
    arguments, status, said = WRONG[case]
    otzyv.write("a.jsonl", [review("a")])
    otzyv.write("notes.txt", [])
    places = {"LAKE": str(otzyv.lake), "SOURCE": str(otzyv.source)}
    placed = [re.sub("LAKE|SOURCE", lambda found: places[found[0]], argument) for argument in arguments]
    done = command(*placed)
    assert done.exit_code == status
    assert not done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line == done.stderr.splitlines()[-1]
    assert said in line
    assert "Traceback" not in done.stderr
    assert not otzyv.lake.exists()


def test_an_error_of_a_place_or_of_nothing_there_is_a_sentence(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a")])
    command("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    lake = ("--lake", otzyv.lake)
    nowhere, file = otzyv.source / "nowhere", otzyv.source / "a.jsonl"
    for arguments, said in (
        (
            ("export", *lake, "--tables", "reviews", "--out", nowhere / "x.csv"),
            f"can't write {nowhere / 'x.csv'}: there",
        ),
        (("export", *lake, "--tables", "reviews", "--out", "x.csv"), "no day of those asked for is released"),
        (("run", "--source", otzyv.source, "--lake", file), f"can't keep a lake at {file}: {file} is a file"),
        (("run", "--source", otzyv.source, "--lake", "/sys/lake"), "can't write to /sys/lake: "),
        (("models", "export", "text_navec", "--to", "/sys/x.tar"), "/sys/"),
        (("quality", *lake), f"no run has made a day in {otzyv.lake}; `otzyv features"),
        (("explain", "x", *lake), "no review 'x' in"),
    ):
        done = command(*arguments)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith(f"Error: {said}"), arguments


def test_rows_and_plans_are_whole_at_any_width(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Курс [/b] \x1b[2J отличный :smile:"
    otzyv.write("a.jsonl", [review(f"review-{n}", text, course_title="Python для начинающих") for n in range(2)])
    command("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    for columns in ("40", "80", "500", None):
        monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS")
        rows = command("show", "reviews", "--lake", otzyv.lake)
        assert rows.exit_code == 0
        assert "2 rows shown" in rows.stdout
        for value in (
            "review-0",
            "review-1",
            "Курс [/b] \N{REPLACEMENT CHARACTER}[2J отличный :smile:",
            "source_sha256",
        ):
            assert value in rows.stdout, columns
        planned = command("plan", "--lake", otzyv.lake, "--extractors", "text_rubert_tiny2,text_openai")
        assert "…" not in planned.stdout
        for value in ("2026-03-01", "text_rubert_tiny2", "text_openai", "unknown", "new day", "money"):
            assert value in planned.stdout, columns


def test_the_dictionary_has_the_tables_of_principal_components_too() -> None:
    assert "pca_text_navec" in command("schema", "pca_text_navec").stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_who_reads_no_further_ends_the_command_without_a_word(options: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = [sys.executable, "-m", "otzyv", "schema", *options]
    done = subprocess.run(ran, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [("features", "--lake", "nowhere"), ("models", "--lake", "nowhere")])
def test_only_debug_shows_where_an_error_came_from(otzyv: Otzyv, arguments: tuple[str, ...]) -> None:
    assert "Traceback" not in command(*arguments).stderr
    assert "Traceback" in command("--debug", *arguments).stderr


SETTINGS = {
    "mistyped": ("time_zone = 'UTC'", "no setting 'time_zone'; ", "is timezone meant?"),
    "unknown": ("where = 'here'", "no setting 'where'; there are: ", "timezone"),
    "time zone": ("timezone = 'Mars/Olympus'", "timezone: no time zone 'Mars/Olympus'", "Europe/Moscow"),
    "mapping": ("[mapping]\nbody = 'text'", "mapping: no column 'body'; there are: review_id", "attachments"),
    "mode": ("source_mode = 'all'", "source_mode: ", "'append' or 'snapshot'"),
    "secret": ("author_key = 'geheim'", "author_key: ", "at least 8"),
    "no TOML": ("timezone = UTC", "otzyv.toml is not TOML", "line 1"),
    "no UTF-8": ("webhook = '\udcff'", "otzyv.toml is not TOML", "save it as UTF-8"),
    "beyond the calendar": ("[maintain]\ndays = 1000000000000", "maintain.days: ", "less than or equal to 36500"),
    "in a table": ("[verdict]\nmin_rows = 3", "no setting 'verdict.min_rows'; there are: ", "fewest"),
    "in an extractor's table": ("[openai]\nprise = 1", "no setting 'openai.prise'; ", "is price meant?"),
    "cron": ("cron = 'every day'", "cron: 'every day' is no cron line", "0 3 * * *"),
    "profile": ("profile = 'best'", "the setting profile", "there are: embedded"),
}

OWN = ("no TOML", "no UTF-8", "in an extractor's table")
"""Those that tell of extractors, or keep the file from being read at all: every command that knows extractors errs."""


@pytest.mark.parametrize("case", SETTINGS)
def test_wrong_settings_are_named_in_one_line_without_secrets(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    written_there, said, works = SETTINGS[case]
    file = otzyv.lake.with_name("otzyv.toml")
    file.write_text(written_there, errors="surrogateescape")
    monkeypatch.setenv("OTZYV_SETTINGS", str(file))
    monkeypatch.delenv("OTZYV_AUTHOR_KEY")
    done = command("run", "--source", otzyv.source, "--lake", otzyv.lake)
    assert done.exit_code == 2
    lines = [done.stderr.splitlines()[-1]]
    if case in OWN:
        listed = command("models")
        assert listed.exit_code == 0  # the extractors that no settings name are there all the same
        lines += [line for line in listed.output.splitlines() if line.startswith("unavailable: settings: ")]
        assert len(lines) == 2
    for line in lines:
        assert said in line
        assert works in line
        assert "geheim" not in line
    assert "geheim" not in done.output
    assert not otzyv.lake.exists()


def test_settings_that_are_not_there_or_are_not_the_lakes_are_refused(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    otzyv.write("a.jsonl", [review("a", author="автор")])
    ingest = ("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    assert command(*ingest).exit_code == 0
    before = otzyv.files()
    for name, value, said in (
        ("OTZYV_SETTINGS", "nowhere.toml", "no file nowhere.toml"),
        ("OTZYV_PROFLE", "standard", "variable OTZYV_PROFLE; is OTZYV_PROFILE meant?"),
        ("OTZYV_TIMEZONE", "Asia/Tokyo", "this lake was made with 'UTC'"),
        ("OTZYV_PRECISION", "f32", "this lake was made with 'bf16'"),
        ("OTZYV_AUTHOR_KEY", "another key", "Set OTZYV_AUTHOR_KEY to the lake's key"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            done = command(*ingest)
        assert done.exit_code in (1, 2)
        assert said in done.stderr.splitlines()[-1]
        assert "another key" not in done.output
    assert otzyv.files() == before


def test_no_key_is_made_for_a_lake_that_was_made_with_another(
    otzyv: Otzyv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    otzyv.write("a.jsonl", [review("a", author="автор")])
    ingest = ("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    assert command(*ingest).exit_code == 0
    monkeypatch.delenv("OTZYV_AUTHOR_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for arguments in (ingest, ("forget", "--author", "автор", "--lake", otzyv.lake, "--yes")):
        done = command(*arguments)
        assert done.exit_code == 1
        assert f"bring it back to {tmp_path / 'config' / 'otzyv' / 'author.key'}" in done.stderr
    command("forget", "--author", "автор", "--lake", tmp_path / "nowhere", "--yes")
    assert not (tmp_path / "config").exists()


def test_the_author_key_is_kept_in_the_home_folder_alone_and_is_never_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTZYV_AUTHOR_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    made = set()
    for folder in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        made.add(load().key(str(tmp_path / "lake")).get_secret_value())
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    key = tmp_path / "home" / ".config" / "otzyv" / "author.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_text(f"{made.pop()}\n")
    assert not load().key(str(tmp_path / "lake")).get_secret_value().endswith("\n")
    key.write_text("\n")
    with pytest.raises(WrongSettings, match=r"author.key holds no key.*OTZYV_AUTHOR_KEY"):
        load().key(str(tmp_path / "lake"))
    monkeypatch.setenv("HOME", str(key))
    with pytest.raises(WrongSettings, match=r"can't be kept.*Not a directory.*OTZYV_AUTHOR_KEY"):
        load().key(str(tmp_path / "lake"))
