"""Requests as pages of other sites and other users send them: none gets into `otzyv serve`, with a login or without."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest

from tests.faults.counts import detail, share, turns
from tests.flows.attacks import SOCKETS, Caller, foreign, get_in, requests, sent, stranger
from tests.flows.served import serving

DAYS = [date(2026, 3, 1)]


def made_up(port: int, chance: random.Random) -> Caller:
    """Our own address with a few characters exchanged, taken out or put in, as Host, as Origin or as both."""

    def broken(text: str) -> str:
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            put = chance.choice(["", ".", "@", "/", ":", "0", "evil", "#", "\t", "%00", "\u00e9", ",", " "])
            text = text[:at] + put + text[at + chance.randint(0, 2) :]
        return text.strip().encode("latin-1", "ignore").decode("latin-1")

    own = chance.choice(["127.0.0.1", "localhost"])
    host, origin = f"{own}:{port}", f"http://{own}:{port}"
    part = chance.choice(["host", "origin", "both"])
    if part in ("host", "both"):
        host = broken(host)
    if part in ("origin", "both"):
        origin = broken(origin)
    good = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
    if host.lower() in good and origin.lower() in {f"http://{each}" for each in good}:
        return made_up(port, chance)
    return Caller("made up", (host,), origin)


@pytest.mark.skipif(not share(), reason="takes minutes: make torture")
@pytest.mark.parametrize("options", [(), ("--no-login",)], ids=["with a login", "without"])
def test_nobody_else_gets_in(options: tuple[str, ...], tmp_path: Path) -> None:
    chance = random.Random(11)
    with serving(tmp_path, DAYS, *options) as served:
        port, marker = served.port, tmp_path / "got-in"
        maintain = served.deployment("maintain/maintain")["id"]
        asked = list(requests(maintain, f"touch {marker}"))
        each = 2 * len(asked) + len(SOCKETS)
        mode = "without a login" if options else "with a login"
        known = list(foreign(port))
        for turn in turns(f"foreign requests to otzyv serve {mode}", 100, 300, each=each):
            caller = known[turn] if turn < len(known) else made_up(port, chance)
            assert not get_in(port, caller, asked, served.known), caller
        detail(f"{len(known)} pages and names, then made-up ones; each with the login and a token")
        if not options:
            him, guess = stranger(port), random.Random(12)
            for _ in turns("another user's requests to otzyv serve", 10, 200, each=len(asked)):
                word = "".join(guess.choices("abcdefghijklmnopqrstuvwxyz:=", k=20))
                for request in asked:
                    said = {"Authorization": f"Basic {word}", "Prefect-Csrf-Token": word, "Prefect-Csrf-Client": word}
                    # 500: Prefect 3.8.8 stumbles over a login that is not ASCII, and refuses it all the same.
                    assert sent(port, him, request, said).status in (401, 403, 500), (request, word)
        assert served.deployment("maintain/maintain")["job_variables"]["env"].keys() == {
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
        }
        assert not marker.exists()
