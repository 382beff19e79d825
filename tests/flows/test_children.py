"""A backfill's children are its own: no dead one is taken for a new one, and a lost answer makes no second one."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from flows.backfill import STRIKES, backfill
from schemas.tables import RUNS
from tests.flows.served import Served

DAYS = [date(2026, 3, 20), date(2026, 3, 21)]
REQUEST = {"days": [str(day) for day in DAYS], "extractors": ["sentiment_mini"], "what": "again"}


def attempt(served: Served, url: str, run_id: str | None = None) -> str:
    """An attempt at a backfill as a worker makes it, but in this process; returns its run."""
    with temporary_settings({PREFECT_API_URL: f"{url}/api"}), get_client(sync_client=True) as client:
        if run_id is None:
            deployment = client.read_deployment_by_name("backfill/backfill")
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"lake": served.lake.uri, "request": REQUEST}, state=Pending()
            )
        else:
            client.set_flow_run_state(UUID(run_id), Pending(), force=True)
            run = client.read_flow_run(UUID(run_id))
        run_flow(backfill, flow_run=run, return_type="state")
    return str(run.id)


def children(served: Served, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
    return found


@contextmanager
def losing_an_answer(url: str, path: bytes) -> Iterator[str]:
    """A way to the server that loses its first answer to a request for this path."""
    where = urlsplit(url)
    lost = threading.Event()

    def answer(far: socket.socket, near: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while some := far.recv(65536):
                if asked.is_set() and not lost.is_set():
                    lost.set()
                    break
                near.sendall(some)
            near.shutdown(socket.SHUT_RDWR)

    class Way(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = threading.Event()
            with socket.create_connection((str(where.hostname), int(where.port or 0))) as far:
                back = threading.Thread(target=answer, args=(far, self.request, asked))
                back.start()
                with suppress(OSError):
                    while some := self.request.recv(65536):
                        if path in some:
                            asked.set()
                        far.sendall(some)
                    far.shutdown(socket.SHUT_RDWR)
                back.join()

    class Ways(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Ways(("127.0.0.1", 0), Way) as ways:
        threading.Thread(target=ways.serve_forever).start()
        yield f"http://127.0.0.1:{ways.server_address[1]}"
        ways.shutdown()
    assert lost.is_set(), "no answer was lost"


def test_a_backfill_begun_anew_is_handed_no_dead_child_and_no_second_one_where_an_answer_is_lost(
    served: Served,
) -> None:
    ended = threading.Event()

    def end_children() -> None:
        while not ended.wait(0.1):
            runs = served.post("flow_runs/filter", deployments={"name": {"any_": ["backfill days"]}})
            for child in runs:
                if child["state_type"] == "SCHEDULED":
                    served.post(f"flow_runs/{child['id']}/set_state", state={"type": "CANCELLED"}, force=True)

    killer = threading.Thread(target=end_children)
    killer.start()
    try:
        run_id = attempt(served, served.url)
    finally:
        ended.set()
        killer.join()
    assert served.run(run_id)["state"]["message"].endswith("2 days were not begun: 2026-03-20, 2026-03-21")
    assert [child["state_type"] for child in children(served, run_id)] == ["CANCELLED"] * STRIKES

    with losing_an_answer(served.url, b"/create_flow_run") as url:
        attempt(served, url, run_id)
    served.completed(run_id)
    assert [child["state_type"] for child in children(served, run_id)].count("COMPLETED") == 1
    assert len(children(served, run_id)) == STRIKES + 1
    made = [(row["table"], row["day"]) for row in served.lake.read(RUNS).to_pylist() if row["day"] in DAYS]
    assert sorted(made) == [(table, day) for table in ("clean_text", "sentiment_mini") for day in DAYS]
    assert [day for day in served.lake.releases() if day in DAYS] == DAYS
