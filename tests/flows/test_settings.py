"""What settings can't be is one line that tells no secret; what they are is told with where it comes from."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

from otzyv.flows.console.settings import as_markdown, template
from otzyv.flows.settings import TABLES, Settings, load
from otzyv.schemas import markdown
from otzyv.tasks.alerts.settings import alert_settings
from otzyv.tasks.extractors.settings import WrongSettings
from tests.flows.command import command

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTZYV_") and name != "OTZYV_MODELS"]:
        monkeypatch.delenv(name)


DEEP = {
    "lists": "profile = " + "[" * 5000,
    "lists that end": "profile = " + "[" * 5000 + "]" * 5000,
    "tables in a line": "mapping = " + "{a = " * 3000 + "1" + "}" * 3000,
    "a key with dots": ".".join(["a"] * 100_000) + " = 1",
    "a key with dots in a table": "mapping = {" + " . ".join(["a"] * 100_000) + " = 1}",
    "a heading with dots": f"[{'.'.join(['a'] * 100_000)}]",
    "a quoted key with dots": "[" + ".".join(['"a"'] * 100_000) + "]",
}


@pytest.mark.parametrize("how", DEEP)
def test_toml_that_is_nested_too_deep_is_one_line_in_little_memory(how: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(DEEP[how])
    code = (
        "import resource; from otzyv.flows.settings import load\n"
        "had = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - had) // 1024)"
    )
    environment = {**os.environ, "OTZYV_SETTINGS": str(tmp_path / "settings.toml")}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    told, mebibytes = ran.stdout.splitlines()
    assert told.startswith(f"WrongSettings settings: {tmp_path / 'settings.toml'} is nested too deep")
    assert int(mebibytes) < 100


def test_a_file_that_no_settings_fill_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    with file.open("wb") as stream:
        stream.truncate(10 << 30)
    monkeypatch.setenv("OTZYV_SETTINGS", str(file))
    with pytest.raises(WrongSettings, match="has 10,737,418,240 bytes; settings have at most 1,048,576"):
        load()


@pytest.mark.parametrize(
    "address",
    ["host/secret", "https://", "ftp://a:secret@host/", "https://a:secret@host:99999/", "https://ho st/secret",
     "http://[::1/secret", "https://host:secret/", "//secret", "https://%zz/secret", "secret", "https://secret@",
     "https://host/se\ncret", " https://host/secret", "file:///secret", "https://xn--/?key=secret"],
)  # fmt: skip
def test_a_broken_webhook_fails_where_it_is_checked_and_its_secret_is_not_told(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_WEBHOOK", address)
    settings = load()  # a run goes on without it
    with pytest.raises(WrongSettings) as wrong:
        settings.check_receivers()
    assert str(wrong.value) == "settings: webhook: it is no address, as https://host/path or http://host:8080/path"
    assert "secret" not in repr(wrong.value.__cause__) + repr(wrong.value.__context__)


@pytest.mark.parametrize("address", ["https://hooks.example/T/B?key=1", "http://127.0.0.1:9/x", "https://пример.рф/a"])
def test_a_good_webhook_is_kept_as_it_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_WEBHOOK", address)
    webhook = load().webhook
    assert webhook is not None
    assert webhook.get_secret_value() == address
    assert address not in repr(load())
    load().check_receivers()


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#chan"


def test_an_address_of_a_receiver_may_hold_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    two = ["mailto://u:p@example.com?to=a@example.com,b@example.com", SLACK]
    monkeypatch.setenv("OTZYV_RECEIVERS", ", ".join(two))
    assert [each.get_secret_value() for each in load().receivers] == two


@pytest.mark.parametrize("given", [f"{SLACK} json://127.0.0.1:9/x", f"{SLACK},json://127.0.0.1:9/x",
                                   json.dumps([SLACK, "json://127.0.0.1:9/x"])])  # fmt: skip
def test_receivers_in_the_environment_may_be_a_list_or_lie_side_by_side(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_RECEIVERS", given)
    settings = load()
    assert [each.get_secret_value() for each in settings.receivers] == [SLACK, "json://127.0.0.1:9/x"]
    settings.check_receivers()
    shown = command("settings").output + command("settings", "--json").output
    assert "TIiajk" not in shown + repr(settings)
    assert "**********" in shown


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("RECEIVERS", f"{SLACK} slak://geheim/x", "receivers: number 2 is no address of a service that apprise knows"),
        ("RECEIVERS", "json://geheim.example:99999", "receivers: number 1 is no address"),
        ("RECEIVERS", "geheim", "receivers: number 1 is no address"),
        ("PING", "geheim", "ping: it is no address"),
        ("WEBHOOK_KEY", "geheim", "webhook_key: it is to have at least 8 characters"),
        ("WEBHOOK_KEY", "whsec_geheim!geheim", "webhook_key: what follows whsec_ is not base64; copy the whole key"),
        ("WEBHOOK_KEY", "whsec_geheimgeheimg", "webhook_key: what follows whsec_ is not base64"),  # its end is cut
        ("WEBHOOK_KEY", "whsec_Z2VoZWlt", "webhook_key: it is to have at least 8 characters"),
        ("WEBHOOK_KEY", "whsec_", "webhook_key: it is to have at least 8 characters"),
    ],
)
def test_what_is_wrong_with_receivers_is_told_without_their_secrets_and_stops_no_run(
    name: str, given: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OTZYV_{name}", given)
    settings = load()
    with pytest.raises(WrongSettings, match=f"^settings: {told}") as wrong:
        settings.check_receivers()
    assert "geheim" not in str(wrong.value)
    done = command("settings")
    assert (done.exit_code, "geheim" in done.output) == (2, False)


def test_receivers_can_be_read_where_the_rest_of_the_settings_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    monkeypatch.setenv("OTZYV_SETTINGS", str(file))
    monkeypatch.setenv("OTZYV_WEBHOOK", "https://hooks.example/1")
    file.write_text("cron = 'never'\n[alerts]\nlate_minutes = 5\n")
    assert alert_settings().alerts.late_minutes == 5
    file.write_text("cron = [[[")
    found = alert_settings().webhook
    assert found is not None
    assert found.get_secret_value() == "https://hooks.example/1"
    monkeypatch.setenv("OTZYV_ALERTS", "no table")
    assert alert_settings().webhook is None, "nothing can be read"


@pytest.mark.parametrize("model", TABLES.values())
def test_every_setting_is_described_and_has_a_default_or_an_example(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        has_default = not field.is_required() and field.default is not None
        shown_by_a_table = model.__name__ == "OwnModel" or name in TABLES
        assert has_default or field.examples or shown_by_a_table, name


def test_the_table_of_settings_is_the_settings() -> None:
    said = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert said == markdown.inserted(said, "settings", as_markdown()), "run: otzyv settings --markdown docs/settings.md"
    for table, model in TABLES.items():
        for name in model.model_fields.keys() - (set() if table else TABLES.keys()):
            named = ".".join(filter(None, [table, "NAME" if table == "extractors" else "", name]))
            assert f"| `{named}` |" in said


def uncommented(text: str) -> str:
    return re.sub(r"^#(?! )", "", text, flags=re.M)


def test_the_file_to_start_from_changes_nothing_and_names_every_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load()
    file = tmp_path / "otzyv.toml"
    done = command("init", file)
    assert (done.exit_code, file.read_text()) == (0, template())
    assert all(line.startswith(("#", "[")) for line in template().splitlines() if line)
    monkeypatch.setenv("OTZYV_SETTINGS", str(file))
    assert load() == before
    assert load().constants == {}

    file.write_text(uncommented(template()))
    written, after = tomllib.loads(file.read_text()), load()
    for table, model in TABLES.items():
        own = {"": written, "extractors": {k: v for each in written["extractors"].values() for k, v in each.items()}}
        assert own.get(table, written.get(table, {})).keys() == model.model_fields.keys(), table
    for name in Settings.model_fields.keys() - {"extractors", "openai", "mapping"}:
        if (default := getattr(before, name)) is not None:
            assert getattr(after, name) == default, name


def test_each_line_of_it_can_be_set_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, lines, tried = tmp_path / "otzyv.toml", template().splitlines(), 0
    monkeypatch.setenv("OTZYV_SETTINGS", str(file))
    for number, line in enumerate(lines):
        if line.startswith("#["):  # a table that does not stand there empty
            break
        if re.match("#[a-z]", line):
            file.write_text("\n".join([*lines[:number], line[1:], *lines[number + 1 :]]))
            load()
            tried += 1
    assert (
        tried == sum(len(TABLES[table].model_fields) for table in ("", "redact", "verdict", "maintain", "alerts")) - 6
    )


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    told = command("init", file, "--json")
    assert json.loads(told.stdout) == {"file": str(file)}
    file.write_text("timezone = 'UTC'")
    refused = command("init", file)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"Error: {file} is there already and stays as it is: give another path\n"
    assert file.read_text() == "timezone = 'UTC'"
    nowhere = command("init", tmp_path / "nowhere" / "x.toml")
    assert nowhere.stderr.splitlines()[-1].endswith("x.toml: No such file or directory")


SOME: Mapping[str, st.SearchStrategy[Any]] = {
    "timezone": st.sampled_from(["Europe/Moscow", "Asia/Tokyo"]),
    "allow_gone": st.booleans(),
    "refused_share": st.floats(0, 1),
    "attachment_hosts": st.lists(st.sampled_from(["a.example", "b.example"])),
    "lake": st.sampled_from(["s3://bucket/lake", "лейк «один»"]),
    "mapping": st.dictionaries(st.sampled_from(["review_id", "text", "rating"]), st.sampled_from(["id", "тело"])),
    "redact": st.dictionaries(st.sampled_from(["mail", "name", "phone"]), st.booleans()),
    "verdict": st.dictionaries(st.sampled_from(["fewest", "empty"]), st.just(1)),
    "author_key": st.sampled_from(["geheim-geheim", "sekret-sekret"]),
    "openai": st.just({"price": 2, "budget": 1}),
}
CHOICES = st.fixed_dictionaries({}, optional=SOME)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def leaves(given: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


@hypothesis_settings(max_examples=60, deadline=None)
@given(in_file=CHOICES, in_environment=CHOICES)
def test_every_setting_is_told_with_where_it_comes_from_and_no_secret(
    in_file: Mapping[str, Any], in_environment: Mapping[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder, "otzyv.toml")
        file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in in_file.items()), encoding="utf-8")
        patch.setenv("OTZYV_SETTINGS", str(file))
        for key, value in in_environment.items():
            said = value if isinstance(value, str) else json.dumps(value)
            patch.setenv(f"OTZYV_{key.upper()}", said)
        done, shown = command("settings", "--json"), command("settings").stdout
    assert done.exit_code == 0, done.stderr
    told = {each["name"]: each for each in json.loads(done.stdout)["settings"]}
    for name, value in (leaves(in_file) | leaves(in_environment)).items():
        here = name in leaves(in_environment)
        where = f"OTZYV_{name.partition('.')[0].upper()}" if here else str(file)
        got = told.pop(name)
        assert (got["origin"], got["where"]) == ("environment" if here else "file", where), name
        if name == "author_key":
            assert got["value"] == "**********"
        elif name.startswith("openai"):
            assert float(got["value"]) == value
        else:
            assert got["value"] == value, name
        assert f" {name} " in shown
    assert {each["origin"] for each in told.values() if each["value"] not in ({}, [])} == {"default"}
    assert "geheim" not in done.output + shown
    assert "sekret" not in done.output + shown
