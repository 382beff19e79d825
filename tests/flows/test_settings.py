"""What settings can't be is one line that tells no secret, and costs neither time nor memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otzyv.flows.settings import load
from otzyv.tasks.extractors.settings import WrongSettings

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
def test_a_broken_webhook_fails_at_the_start_and_its_secret_is_not_told(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_WEBHOOK", address)
    with pytest.raises(WrongSettings) as wrong:
        load()
    assert str(wrong.value) == "settings: webhook: it is no address, as https://host/path or http://host:8080/path"
    assert "secret" not in repr(wrong.value.__cause__) + repr(wrong.value.__context__)


@pytest.mark.parametrize("address", ["https://hooks.example/T/B?key=1", "http://127.0.0.1:9/x", "https://пример.рф/a"])
def test_a_good_webhook_is_kept_as_it_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_WEBHOOK", address)
    webhook = load().webhook
    assert webhook is not None
    assert webhook.get_secret_value() == address
    assert address not in repr(load())
