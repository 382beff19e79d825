"""The login of a served port: made once, for its owner alone, and told to nobody but that owner's own server."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from otzyv.flows.server import guard, login
from otzyv.flows.serving import server as prefect
from otzyv.flows.serving.server import ServerFailed, server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (login.CLIENT, login.SERVER, "PREFECT_API_URL", "PREFECT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    with guard.listen(number):
        yield number


def test_it_is_made_once_for_each_port_and_its_owner_alone_reads_it(home: Path) -> None:
    first, new = login.of_port(4200)
    assert new
    assert login.of_port(4200) == (first, False)
    assert login.of_port(4201)[0] != first
    assert first.startswith("otzyv:")
    assert len(first) > 40
    file = home / "otzyv" / "login-4200"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with ThreadPoolExecutor(8) as pool:
        assert len({said for said, _ in pool.map(lambda _: login.of_port(4202), range(8))}) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_one_that_others_could_read_is_none_any_more(home: Path, mode: int) -> None:
    first, _ = login.of_port(4200)
    (home / "otzyv" / "login-4200").chmod(mode)
    second, new = login.of_port(4200)
    assert new
    assert second != first
    assert stat.S_IMODE((home / "otzyv" / "login-4200").stat().st_mode) == 0o600


def test_commands_beside_a_server_find_its_login(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = login.of_port(port)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    login.find()
    assert os.environ[login.CLIENT] == kept
    monkeypatch.setenv(login.CLIENT, "mine:own")
    login.find()
    assert os.environ[login.CLIENT] == "mine:own"


def test_nobody_else_is_told_it(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    login.of_port(port)
    login.of_port(1)  # where nobody listens
    for url in (f"http://localhost:{port}/api", f"http://evil.example:{port}/api", "http://127.0.0.1:1/api",
                f"http://127.0.0.1.evil.example:{port}/api", f"http://127.0.0.1:x{port}/api", "nonsense"):  # fmt: skip
        monkeypatch.setenv("PREFECT_API_URL", url)
        login.find()
        assert login.CLIENT not in os.environ, url
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)  # as if another user's process listened there
    login.find()
    assert login.CLIENT not in os.environ


def test_serving_says_what_keeps_it_from_starting_and_starts_nothing(
    port: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(at: int, *, with_login: bool = True) -> str:
        said: list[str] = []
        ours = temporary_settings({PREFECT_HOME: home / "prefect"})
        told = server(at, said.append, said.append, with_login=with_login)
        with ours, pytest.raises(ServerFailed) as wrong, told:
            pass
        assert said == []
        assert not (home / "otzyv").exists()
        return str(wrong.value)

    monkeypatch.setattr(prefect, "FREE_SECONDS", 1)
    assert refused(port).startswith(f"port {port} can't be used (Address already in use); give another with --port")
    monkeypatch.setenv(guard.ORIGINS, "https://reviews.example,*")
    assert "would let any web page in" in refused(port)
    monkeypatch.delenv(guard.ORIGINS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
    monkeypatch.setenv(login.SERVER, "user:password")
    assert refused(other, with_login=False) == (
        "--no-login, but PREFECT_SERVER_API_AUTH_STRING asks for one: leave one of them out"
    )
    with guard.listen(other):  # it was given back
        pass
