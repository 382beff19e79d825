"""What ``otzyv models`` does: list extractors, fetch their weights, check them, and carry them to another machine."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid

from otzyv.flows.console.learned import learned
from otzyv.flows.console.screen import screen
from otzyv.schemas.errors import NotFound
from otzyv.schemas.tables import RUNS
from otzyv.tasks.extractors import Card, Weights, catalogue, get, names, shipped, unavailable
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.artefacts import fitted
from otzyv.tasks.models import archive, fetch, store
from otzyv.tasks.pipeline.rates import FIGURES, rates

_HEADS = ("name", "reads", "dimension", "parameters", "input", "on disk", "here", "sha256", "contents/s")
_LEAST_WIDTH = 160
"""Characters: with fewer, the last columns would be too narrow to read."""


def chosen(name: str) -> tuple[Card, ...]:
    """The cards of an extractor, or of a profile's extractors. LookupError lists both."""
    known = names()
    if name.partition("@")[0] in known:
        return (get(name).card,)
    try:
        return tuple(get(each).card for each in names(name))
    except LookupError as error:
        raise NotFound(f"{error.args[0]}; and no extractor of that name among {', '.join(known)}") from None


def show(lake: Lake | None, *, as_json: bool) -> None:
    """The table of all extractors, or the same as JSON; of a lake also what was learned from it."""
    fits = fitted(lake.storage) if lake else []
    entries = [catalogue.entry(get(name).card) for name in dict.fromkeys([*names(), *(fit.name for fit in fits)])]
    known = rates(lake.read(RUNS, columns=["table", *FIGURES])) if lake else {}
    measured = {table: 1 / rate.seconds for table, rate in known.items() if rate.seconds}
    if as_json:
        rows = [
            {
                **asdict(entry),
                "contents_per_second": measured.get(entry.name),
                "fits": [asdict(fit) for fit in fits if fit.name == entry.name],
                "unavailable": None,
            }
            for entry in entries
        ]
        rows += [{"name": name, "unavailable": reason} for name, reason in unavailable().items()]
        click.echo(json.dumps(rows, ensure_ascii=False, default=str))
        return
    grid = Grid(*(Column(head, no_wrap=True) for head in _HEADS), "licence", Column("source", overflow="fold"))
    for entry in entries:
        grid.add_row(
            entry.name,
            entry.modality,
            catalogue.dimension(entry.dim, entry.columns),
            f"{entry.parameters / 1e6:,.1f} M" if entry.parameters else "-",
            entry.input,
            catalogue.megabytes(entry.bytes, exact=entry.exact),
            "fitted in a lake" if entry.fitted else "yes" if entry.here else "no",
            entry.sha256,
            f"{measured[entry.name]:,.1f}" if entry.name in measured else "-",
            entry.licence,
            entry.source,
        )
    console = screen()
    console.width = max(console.width, _LEAST_WIDTH)
    console.print(grid)
    for fit in fits:
        console.print(f"{fit.name} version {fit.version}, {fit.state}: {learned(fit)}", soft_wrap=True)
    for name, reason in unavailable().items():
        console.print(f"unavailable: {name}: {reason}", soft_wrap=True, markup=False)
    if loose := sum(entry.sha256 not in ("-", "whole") for entry in entries):
        console.print(f"{loose} without a whole sha256: used once allowed by name, `otzyv models pull --help`")
    console.print(f"model store: {store.root()}", soft_wrap=True)


def write_table(document: Path) -> None:
    """Put the table of otzyv's own models into a Markdown file, between its marks."""
    cards = [get(name).card for name in shipped()]
    document.write_text(catalogue.inserted(document.read_text(encoding="utf-8"), cards), encoding="utf-8")


def pull(cards: Sequence[Card], to: Path | None, *, agreed: bool, unpinned: Collection[str], as_json: bool) -> None:
    """Show each licence, ask where one forbids commercial use, then fetch with progress bars.

    ``unpinned``: the names that are allowed although no whole sha256 is known of their files.

    As JSON an entry for each card with the paths of its files, once all are there; what is shown to people then goes to
    standard error.
    """
    wanted, said = [], []
    for card in cards:
        weights = _source(card)
        if weights is None:
            click.echo(f"{card.name} needs no weights", err=as_json)
        elif not store.stored(weights):
            places = store.locate(card.name, weights).values()
            click.echo(f"{card.name} has its weights outside of the store: {', '.join(map(str, places))}", err=as_json)
        else:
            told = f"{card.name}: {weights.source} {weights.revision}, licence {weights.licence}"
            click.echo(told, err=as_json)
            if catalogue.non_commercial(weights) and not agreed:
                click.confirm("This licence forbids commercial use. Fetch it all the same?", abort=True, err=as_json)
            wanted.append((card.name, weights))
        said.append((card.name, weights))
    if wanted:
        with _bars() as listen:
            for name, weights in wanted:
                fetch.pull(name, weights, partial(_named, listen, name), to=to, unpinned=name in unpinned)
        click.echo(f"in {to or store.root()}", err=as_json)
    if as_json:
        click.echo(json.dumps([_pulled(name, weights, to) for name, weights in said], ensure_ascii=False))


def _pulled(name: str, weights: Weights | None, to: Path | None) -> dict[str, Any]:
    if weights is None:
        return {"name": name, "source": None, "revision": None, "licence": None, "files": {}}
    files = {file: str(path) for file, path in store.weight_paths(name, weights, to).items()}
    told = {"source": weights.source, "revision": weights.revision, "licence": weights.licence}
    return {"name": name, **told, "files": files}


def verify(cards: Sequence[Card], *, as_json: bool, all_of_them: bool) -> bool:
    """Check every file's sha256; whether all is well. Weights not here are a fault unless all were asked about."""
    rows = [{"name": card.name, **_state(card)} for card in cards]
    if all_of_them:
        rows += [{"name": name, "state": "unavailable", "error": error} for name, error in unavailable().items()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            click.echo(f"{row['name']}: {row['state']}" + (f" ({row['error']})" if row["error"] else ""))
    bad = {"wrong", "unavailable"} if all_of_them else {"wrong", "not here"}
    return not any(row["state"] in bad for row in rows)


def where(card: Card, *, as_json: bool) -> None:
    """The path of each file, whether it is there or not."""
    weights = store.choose(card)
    paths = store.weight_paths(card.name, weights) if weights else {}
    if as_json:
        click.echo(json.dumps({file: {"path": str(path), "here": path.is_file()} for file, path in paths.items()}))
        return
    for path in paths.values():
        click.echo(path)
    if not paths:
        click.echo(f"{card.name} needs no weights", err=True)


def export(cards: Sequence[Card], to: Path, *, as_json: bool) -> None:
    with _bars() as listen:
        held = archive.write(cards, to, listen)
    left, size = [card.name for card in cards if card.name not in held], to.stat().st_size
    if as_json:
        said = {"archive": str(to), "names": held, "left_out": left, "bytes": size}
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    if left:
        click.echo(f"left out, since they have no weights in the store: {', '.join(left)}")
    click.echo(f"{to}: {', '.join(held) or 'no weights'}, {catalogue.megabytes(size)}")


def take_in(path: Path, *, unpinned: Collection[str], as_json: bool) -> None:
    with _bars() as listen:
        held = archive.read(path, lambda name: get(name).card, listen, unpinned)
    if as_json:
        click.echo(json.dumps({"store": str(store.root()), "names": held}, ensure_ascii=False))
    else:
        click.echo(f"in {store.root()}: {', '.join(held) or 'nothing'}")


def _named(listen: fetch.Progress, name: str, file: str, done: int, total: int | None) -> None:
    listen(f"{name}/{file}", done, total)


def _source(card: Card) -> Weights | None:
    """The weights to fetch: those in the store already, else the first that have addresses or are here, else the
    preferred.
    """
    weights = store.choose(card)
    if weights is None or (store.stored(weights) and store.present(card.name, weights)):
        return weights
    fit = (each for each in card.weights if all(file.url for file in each.files) or store.present(card.name, each))
    return next(fit, weights)


def _state(card: Card) -> dict[str, str | None]:
    weights = store.choose(card)
    if weights is None:
        return {"state": "needs no weights", "error": None}
    try:
        store.locate(card.name, weights)
    except store.MissingWeights as error:
        return {"state": "not here", "error": str(error)}
    except (store.WrongWeights, store.UnpinnedWeights) as error:
        return {"state": "wrong", "error": str(error)}
    return {"state": "good", "error": None}


@contextmanager
def _bars() -> Iterator[fetch.Progress]:
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bars: dict[str, Any] = {}

        def listen(file: str, done: int, total: int | None) -> None:
            if file not in bars:
                bars[file] = shown.add_task(file, total=total)
            shown.update(bars[file], completed=done, total=total)

        yield listen
