"""What settings may say of extractors: ``[extractors.NAME]`` makes a model of one's own an extractor, without code."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from otzyv.schemas import errors

_NAME = re.compile(r"(text|image|audio)_[a-z0-9_]{1,50}")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_READS = {
    "transformers": ("text", "audio"),
    "sentence-transformers": ("text",),
    "timm": ("image",),
    "torchvision": ("image",),
}


_MOST_BYTES = 1 << 20
_DEEPEST = 32


class WrongSettings(errors.SettingsError, ValueError):
    """Settings say something that can't be; the message names the setting and what would do."""


class OwnModel(BaseModel):
    """A model of one's own. Its files are those of the Hugging Face hub, in a local folder or to be fetched from there.

    ``torchvision`` is the exception: ``model`` is then a file with a state dict.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["transformers", "sentence-transformers", "timm", "torchvision"] = Field(
        description="the library it is of: for text the first two, for audio the first, for image the last two"
    )
    model: str = Field(description="a local folder (torchvision: file), or the name on the hub as owner/name")
    revision: str | None = Field(None, description="the hub's commit, 40 hex digits: a branch would move")
    licence: str = Field("not stated", description="the model's licence, for `otzyv models`")
    pooling: Literal["cls", "mean"] | None = Field(
        None, description="text: the vector of the first token, or the mean of all; the mean if not said"
    )
    max_tokens: int | None = Field(
        None, ge=3, description="text: the longest that is read, in tokens; what the network can read if not said"
    )
    network: str | None = Field(None, description="torchvision: the network's name, as resnet18")
    classifier: str | None = Field(None, description="torchvision: the part that is left out, as fc")
    dim: int | None = Field(None, ge=1, description="torchvision: the length of the vector, as 512")
    resize: int | None = Field(None, ge=8, description="torchvision: the shorter side, in pixels; 256 if not said")
    crop: int | None = Field(
        None, ge=8, description="torchvision: the side of the square that is read; 224 if not said"
    )

    @property
    def local(self) -> Path | None:
        """The folder (of torchvision the file) on this machine, or None where it lies on the hub."""
        path = Path(self.model).expanduser()
        return path if path.exists() or path.is_absolute() or self.model.startswith((".", "~")) else None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.local is None:
            if self.kind == "torchvision":
                raise ValueError(f"model: there is no file {self.model}")
            if not _HUB.fullmatch(self.model):
                raise ValueError(f"model: {self.model!r} is neither a folder nor a name on the hub, as owner/name")
            if not _COMMIT.fullmatch(self.revision or ""):
                raise ValueError("revision: give the hub's commit, 40 hex digits; a branch or a tag may move")
        only = {
            "transformers": {"pooling", "max_tokens"},
            "sentence-transformers": {"max_tokens"},
            "torchvision": {"network", "classifier", "dim", "resize", "crop"},
        }.get(self.kind, set())
        kept = {"kind", "model", "revision", "licence"} | only
        if surplus := sorted(self.model_fields_set - kept):
            raise ValueError(
                f"{surplus[0]}: not a setting of kind {self.kind!r}, which knows {', '.join(sorted(kept))}"
            )
        if self.kind == "torchvision" and (missing := sorted({"network", "classifier", "dim"} - self.model_fields_set)):
            raise ValueError(f"{missing[0]}: kind 'torchvision' needs it")
        return self


class OpenAISettings(BaseModel):
    """Which API ``text_openai`` asks, and what that may cost. The key is in the environment: OPENAI_API_KEY."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field("https://api.openai.com/v1", description="where the API is")
    model: str = Field("text-embedding-3-small", min_length=1, description="the API's name of the model")
    dimensions: int = Field(1536, ge=1, description="length of the vectors")
    ask_dimensions: bool = Field(True, description="false for models that know one length and refuse to be asked")
    price: Decimal = Field(
        ge=0, allow_inf_nan=False, description="money per million tokens, by the API's price list", examples=[0.02]
    )
    budget: Decimal = Field(
        ge=0, allow_inf_nan=False, description="the most that one run may spend, in that money", examples=[1.0]
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="the most requests; no limit of ours if not said", examples=[500]
    )
    max_tokens: int = Field(8192, ge=1, description="longest text that the model reads, in tokens")
    timeout: float = Field(60, gt=0, description="seconds to wait for an answer")

    @property
    def host(self) -> str:
        """The API's host, with its port where one is given."""
        return urlsplit(self.base_url).netloc

    @field_validator("base_url")
    @classmethod
    def _safe(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018  # raises where it is no number
        except ValueError:
            raise ValueError("it is no address, as https://api.openai.com/v1") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("give the address alone: the key goes into the environment (OPENAI_API_KEY)")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not local):
            raise ValueError("give an address that begins with https:// (http:// on this machine alone)")
        return url


def _named(models: dict[str, OwnModel]) -> dict[str, OwnModel]:
    for name, model in models.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name}: a name begins with text_, image_ or audio_ and goes on in a-z, 0-9 and _")
        if name.partition("_")[0] not in _READS[model.kind]:
            raise ValueError(f"{name}: kind {model.kind!r} reads {' and '.join(_READS[model.kind])}")
    return models


def _modules(names: list[str]) -> list[str]:
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is no module; name it as Python imports it, such as my.features")
    return names


class FromFile(BaseSettings):
    """Environment variables ``OTZYV_…`` over a TOML file (``OTZYV_SETTINGS``), of which this reads its own part."""

    model_config = SettingsConfigDict(env_prefix="OTZYV_", extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("OTZYV_SETTINGS")
        toml = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return (init_settings, env_settings, *toml)


class ExtractorSettings(FromFile):
    """Extractors of one's own, and the API that one of ours asks."""

    extractors: Annotated[dict[str, OwnModel], AfterValidator(_named)] = Field(
        default_factory=dict,
        description="models of your own, each a table by the extractor's name",
        examples=[
            {
                "text_mine": {
                    "kind": "transformers",
                    "model": "owner/name",
                    "revision": "0123456789abcdef0123456789abcdef01234567",
                    "licence": "MIT",
                    "pooling": "mean",
                    "max_tokens": 256,
                },
                "image_mine": {
                    "kind": "torchvision",
                    "model": "/models/resnet18.pth",
                    "network": "resnet18",
                    "classifier": "fc",
                    "dim": 512,
                    "resize": 256,
                    "crop": 224,
                },
            }
        ],
    )
    extractor_modules: Annotated[list[str], AfterValidator(_modules)] = Field(
        default_factory=list, description="Python modules that define extractors", examples=[["my.features"]]
    )
    openai: OpenAISettings | None = Field(None, description="the API that text_openai asks")


TABLES: Mapping[str, type[BaseModel]] = {"openai": OpenAISettings, "extractors": OwnModel}
"""The keys of each table, or of each table in it."""


def extractor_settings() -> ExtractorSettings:
    """What this process's settings say of extractors. Raises WrongSettings, in one line."""
    return read(ExtractorSettings, TABLES)


S = TypeVar("S", bound=BaseSettings)


def read(settings: type[S], tables: Mapping[str, type[BaseModel]]) -> S:
    """Settings as the environment and the file have them. Raises WrongSettings, in one line that tells no secret.

    It names all that pydantic found wrong, each as ``setting: what is wrong``, and of a key that is unknown in its
    table what would do. ``tables``: as ``TABLES``, under "" the keys that stand in no table.
    """
    file = os.environ.get("OTZYV_SETTINGS")
    if file and not Path(file).is_file():
        raise WrongSettings(f"settings: no file {file} (OTZYV_SETTINGS)")
    try:
        if file:
            _check_size(Path(file))
        return settings()
    except _TooMuch as error:
        told = str(error)
    except ValidationError as error:
        told = "; ".join(_told(wrong, tables) for wrong in error.errors(include_input=False))
    except tomllib.TOMLDecodeError as error:
        told = f"{file} is not TOML: {error}"
    except UnicodeDecodeError:
        told = f"{file} is not TOML: save it as UTF-8"
    except OSError as error:
        told = f"can't read {file}: {error.strerror}"
    except SettingsError as error:
        told = f"{error}; in the environment a list or a table is written as JSON"
    except RecursionError:
        told = f"{file or 'a table in the environment'} is nested too deep"
    raise WrongSettings(f"settings: {told}")


class _TooMuch(ValueError):
    """A file that no settings need, and that would take all memory to read."""


def _check_size(file: Path) -> None:
    """tomllib keeps a copy of a dotted key for each of its dots. Raises _TooMuch."""
    if (size := file.stat().st_size) > _MOST_BYTES:
        raise _TooMuch(f"{file} has {size:,} bytes; settings have at most {_MOST_BYTES:,}")
    if any(piece.count(".") > _DEEPEST for piece in re.split(r"[={,\n]", file.read_text(encoding="utf-8"))):
        raise _TooMuch(f"{file} is nested too deep: it has more than {_DEEPEST} dots in one key")


def _told(wrong: ErrorDetails, tables: Mapping[str, type[BaseModel]]) -> str:
    *table, key = map(str, wrong["loc"])
    name = ".".join([*table, key])
    if wrong["type"] == "extra_forbidden":
        return f"no setting {name!r}; {meant(key, tables[table[0] if table else ''].model_fields)}"
    return f"{name}: {wrong['msg'].removeprefix('Value error, ')}"


def meant(name: str, known: Collection[str]) -> str:
    """Of a name that is not among those known: the one that is near to it, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"is {near[0]} meant?" if near else f"there are: {', '.join(known)}"
