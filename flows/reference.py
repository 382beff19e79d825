"""What people are told of settings. All of it is read off the models that hold them: see ``settings.TABLES``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from otzyv.flows.settings import TABLES, Settings, load
from otzyv.tasks.alerts.settings import AlertSettings
from otzyv.tasks.extractors.settings import ExtractorSettings

HIDDEN = "**********"
MANY = "NAME"
"""Stands in a setting's name for what the user chooses: an extractor's name."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it may be written. ``table``: the TOML table it stands in, "" for none.

    ``default``: None where there is none; ``example``: what it may be then.
    """

    table: str
    key: str
    about: str
    values: str
    default: Any
    example: Any
    required: bool

    @property
    def name(self) -> str:
        return f"{self.table}.{self.key}" if self.table else self.key


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as this process has it. ``where``: the variable or the file it comes from, None for a default."""

    name: str
    value: Any
    origin: Literal["default", "file", "environment"]
    where: str | None
    about: str


def reference() -> tuple[Setting, ...]:
    """Every setting, those without a table first."""
    return tuple(setting for table, model in TABLES.items() for setting in _settings(table, model))


def about(table: str) -> str:
    """What a table of settings is for."""
    return Settings.model_fields[table.partition(".")[0]].description or ""


def examples(table: str) -> Mapping[str, Mapping[str, Any]]:
    """Name -> keys and values of example tables, where the user names the tables; else none."""
    field = Settings.model_fields.get(table)
    given: Mapping[str, Mapping[str, Any]] = field.examples[0] if field and field.examples else {}
    return given


def values() -> tuple[Value, ...]:
    """Every setting of this process, secrets hidden. Raises WrongSettings."""
    settings = load()
    settings.check_receivers()
    file = os.environ.get("OTZYV_SETTINGS")
    given = {
        "environment": EnvSettingsSource(Settings)(),
        "file": TomlConfigSettingsSource(Settings, Path(file))() if file else {},
    }
    return tuple(_values((), settings, given, file))


def _settings(table: str, model: type[BaseModel]) -> Iterator[Setting]:
    fields = model.model_fields
    schema = model.model_json_schema()["properties"]
    named = f"{table}.{MANY}" if examples(table) else table
    # What a model inherits comes first in it; people look for the time zone first.
    for key in sorted(fields, key=lambda key: not table and _place(key)):
        if table or key not in TABLES:
            field = fields[key]
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            example = field.examples[0] if field.examples else None
            yield Setting(
                named, key, field.description or "", _kind(schema[key]), default, example, field.is_required()
            )


def _place(key: str) -> int:
    """Where a setting of no table stands: those of alerts come after the others, those of extractors last."""
    return 2 if key in ExtractorSettings.model_fields else int(key in AlertSettings.model_fields)


_KINDS = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text",
          "array": "list of texts", "object": "table of texts"}  # fmt: skip


def _kind(schema: Mapping[str, Any]) -> str:
    """What values a setting may have, in words, by its JSON schema."""
    kind = next(each for each in schema.get("anyOf", [schema]) if each.get("type") != "null")
    if "enum" in kind:
        return " or ".join(f'"{value}"' for value in kind["enum"])
    said = _KINDS[kind["type"]]
    least, most = kind.get("minimum"), kind.get("maximum")
    if least is not None and most is not None:
        return f"{said} from {least:,} to {most:,}"
    if least is not None:
        return f"{said}, at least {least:g}"
    if "exclusiveMinimum" in kind:
        return f"{said} above {kind['exclusiveMinimum']:g}"
    return f"{said} of at least {kind['minLength']} characters" if kind.get("minLength", 0) > 1 else said


def _values(
    path: tuple[str, ...], model: BaseModel, given: Mapping[str, Mapping[str, Any]], file: str | None
) -> Iterator[Value]:
    fields = type(model).model_fields
    for key in sorted(fields, key=lambda key: not path and (key in TABLES, _place(key))):
        value, meaning = getattr(model, key), fields[key].description or ""
        if isinstance(value, BaseModel):
            yield from _values((*path, key), value, given, file)
        elif isinstance(value, dict) and value:
            for name, each in value.items():
                if isinstance(each, BaseModel):
                    yield from _values((*path, key, name), each, given, file)
                else:
                    yield _value((*path, key, name), each, meaning, given, file)
        else:
            yield _value((*path, key), value, meaning, given, file)


def _value(
    path: tuple[str, ...], value: Any, about: str, given: Mapping[str, Mapping[str, Any]], file: str | None
) -> Value:
    shown = _shown(value)
    name = ".".join(path)
    if _holds(given["environment"], path):
        variable = f"OTZYV_{path[0].upper()}"
        return Value(name, shown, "environment", next(n for n in os.environ if n.upper() == variable), about)
    if _holds(given["file"], path):
        return Value(name, shown, "file", file, about)
    return Value(name, shown, "default", None, about)


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return HIDDEN if isinstance(value, SecretStr) else value


def _holds(given: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    at: Any = given
    for key in path:
        if not isinstance(at, Mapping) or key not in at:
            return False
        at = at[key]
    return True
