"""What ``otzyv init`` and ``otzyv settings`` do: settings as TOML to start from, as a table, and as Markdown."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.table import Table as Grid

from otzyv.flows.console.screen import screen
from otzyv.flows.reference import Setting, Value, about, examples, reference, values
from otzyv.schemas import markdown
from otzyv.schemas.errors import InvalidInput

_HEAD = """\
# Settings of otzyv, which reads this file where the environment variable OTZYV_SETTINGS names it.
# Lines that begin with "# " explain. To set something, take the # off the line below its explanation.
# An environment variable stands over this file, OTZYV_TIMEZONE over timezone; there, a list or a table is JSON.
# Secrets (author_key, receivers) are safer in the environment. `otzyv settings` shows what is set, and where.
"""


def write(path: Path, *, as_json: bool) -> None:
    """The settings file to start from. Raises InvalidInput where there is a file already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise InvalidInput(f"{path} is there already and stays as it is: give another path") from None
    if as_json:
        click.echo(json.dumps({"file": str(path.resolve())}, ensure_ascii=False))
        return
    quoted = shlex.quote(str(path.resolve()))
    click.echo(f"{path}: every setting, commented out; to have it read: export OTZYV_SETTINGS={quoted}")


def template() -> str:
    """Every setting as TOML, commented out, with its meaning and its default, else an example."""
    parts = [_HEAD]
    for table, settings in groupby(reference(), key=lambda setting: setting.table):
        parts.extend(_table(table, list(settings)))
    return "\n".join(parts)


def _table(table: str, settings: list[Setting]) -> Iterator[str]:
    name, _, many = table.partition(".")
    if many:
        for example, given in examples(name).items():
            yield f"# {_capital(about(name))}.\n#[{name}.{example}]\n"
            yield from (_line(each, given[each.key]) for each in settings if each.key in given)
        return
    if table:
        comment = "#" if any(setting.required for setting in settings) else ""  # else it may stand there empty
        yield f"# {_capital(about(table))}.\n{comment}[{table}]\n"
    tables = [setting for setting in settings if isinstance(setting.default, dict)]
    yield from (_line(each, _shown(each)) for each in settings if each not in tables)
    for each in tables:  # after the keys without a table
        yield f"# {_sentence(each)}\n[{each.key}]\n" + "".join(
            f"#{key} = {_toml(value)}\n" for key, value in each.example.items()
        )


def _line(setting: Setting, value: Any) -> str:
    told = " No default; for example:" if setting.default is None else ""
    if value == [] and setting.example:
        told = f" Such as {_toml(setting.example)}."
    return f"# {_sentence(setting)}{told}\n#{setting.key} = {_toml(value)}\n"


def _shown(setting: Setting) -> Any:
    return setting.example if setting.default is None else setting.default


def _sentence(setting: Setting) -> str:
    return f"{_capital(setting.about)} ({setting.values})."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _toml(value: Any) -> str:
    """A text, number, truth or list of texts: as JSON has them, but for the letters that JSON need not escape."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def show(*, as_json: bool) -> None:
    """Every setting of this process. Raises WrongSettings."""
    found = values()
    if as_json:
        rows = [asdict(each) for each in found]
        click.echo(json.dumps({"settings": rows}, ensure_ascii=False, default=str))
        return
    grid = Grid("setting", "value", "from")
    for each in found:
        grid.add_row(each.name, _told(each), each.where or each.origin)
    screen().print(grid)


def _told(each: Value) -> str:
    return "-" if each.value is None else json.dumps(each.value, ensure_ascii=False, default=str)


def write_table(document: Path) -> None:
    """Put the table of settings into a Markdown file, between its marks."""
    said = document.read_text(encoding="utf-8")
    document.write_text(markdown.inserted(said, "settings", as_markdown()), encoding="utf-8")


def as_markdown() -> str:
    """Every setting as Markdown: the same on every machine."""
    rows: list[tuple[str, ...]] = []
    for table, settings in groupby(reference(), key=lambda setting: setting.table):
        if table:
            rows.append((f"`[{table}]`", "table", "-", about(table)))
        rows += [(f"`{each.name}`", each.values, _default(each), each.about) for each in settings]
    return markdown.table(("setting", "value", "default", "meaning"), rows)


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return "-" if setting.default in (None, [], {}) else f"`{json.dumps(setting.default, ensure_ascii=False)}`"
