"""All settings, in one place: environment variables ``OTZYV_…`` over a TOML file (``OTZYV_SETTINGS``) over defaults."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tasks.extractors.settings import ExtractorSettings


class Settings(ExtractorSettings):
    """What a run needs beside its command line."""

    model_config = SettingsConfigDict(extra="forbid")

    timezone: str = Field("UTC", description="time zone that decides a review's day; fixed when a lake is made")
    precision: Literal["bf16", "f32"] = Field("bf16", description="precision of networks; fixed when a lake is made")
    profile: str = Field("embedded", description="extractors that run when none are named")
    source_mode: Literal["append", "snapshot"] = Field("append", description="snapshot: what is absent is gone")
    mapping: dict[str, str] = Field(default_factory=dict, description="our column = the source's column")
    author_key: SecretStr | None = Field(None, description="secret that hashes authors; made at first use if not given")

    def key(self) -> str:
        """The author key: from the environment, else one made once and kept in the home folder, for its owner only."""
        if self.author_key is not None:
            return self.author_key.get_secret_value()
        path = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "otzyv" / "author.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32))
            try:
                os.link(part, path)
            except FileExistsError:
                pass
            finally:
                part.unlink()
        return path.read_text()
