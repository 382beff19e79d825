"""Modules that the settings name: their extractors are known like ours, and what is broken harms no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from click.testing import CliRunner

from otzyv.flows.command.main import main
from otzyv.schemas.errors import NotFound
from otzyv.tasks.extractors import catalogue, get, names, shipped, unavailable
from otzyv.tasks.extractors.errors import BrokenModule
from otzyv.tasks.extractors.extractor import OUTSIDE
from otzyv.tasks.extractors.settings import WrongSettings, extractor_settings

OURS = shipped()


def toy(name: str, **fields: str) -> str:
    """The code of a module that registers an extractor: letters of a text, and how many of them are capital."""
    said = {"name": repr(name), "version": "1", "modality": "'text'", "doc": "'letters'", "licence": "'MIT'",
            "source": "'a test'", "dim": "2", **fields}  # fmt: skip
    card = ", ".join(f"{key}={value}" for key, value in said.items())
    return f"""
import numpy as np
from otzyv.tasks.extractors import AudioInput, Card, Column, ImageInput, register

@register(Card({card}))
def toy(card, weights):
    return lambda texts: np.array([[len(text), sum(c.isupper() for c in text)] for text in texts], np.float32)
"""


class Named:
    """Modules in a folder that Python finds, and the setting that names them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = monkeypatch

    def __call__(self, **modules: str | None) -> None:
        """``None``: named, but not there."""
        for module, code in modules.items():
            if code is not None:
                (self.folder / f"{module}.py").write_text(code, encoding="utf-8")
        self._patch.setenv("OTZYV_EXTRACTOR_MODULES", json.dumps(list(modules)))


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Named]:
    monkeypatch.delenv("OTZYV_SETTINGS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with patch.dict(OUTSIDE, clear=True):  # a module is imported once: each test names its own
        yield Named(tmp_path, monkeypatch)


def unavailable_now() -> dict[str, str]:
    return {name: why for name, why in unavailable().items() if name != "text_openai"}


def test_what_a_module_registers_is_known_beside_ours(named: Named) -> None:
    named(otzyv_known=toy("text_letters") + toy("image_letters", modality="'image'", input="ImageInput(64, 64)"))
    assert set(names()) - set(OURS) == {"text_letters", "image_letters"}
    assert names()[: len(shipped())] == shipped() == OURS
    assert unavailable_now() == {}
    found = get("text_letters")
    assert np.asarray(found.load(found.card, None)(["Ёж", "ёж"])).tolist() == [[2, 1], [2, 0]]
    assert get("pca_text_letters").card.reads == found.card
    listed = {row["name"] for row in json.loads(CliRunner().invoke(main, ["models", "--json"]).output)}
    assert {"text_letters", "image_letters"} <= listed


def test_the_table_of_the_docs_is_that_of_ours_alone(named: Named, tmp_path: Path) -> None:
    named(otzyv_beside=toy("text_letters"))
    page = tmp_path / "page.md"
    page.write_text(f"{catalogue.BEGIN}\n{catalogue.END}\n")
    assert CliRunner().invoke(main, ["models", "--markdown", str(page)]).exit_code == 0
    assert ("`text_navec`" in page.read_text(), "`text_letters`" in page.read_text()) == (True, False)


def test_every_process_knows_it_and_ours_keep_their_names_whatever_is_imported_first(named: Named) -> None:
    named(otzyv_first=toy("text_letters") + toy("text_navec"))
    code = (
        "import otzyv_first; from otzyv.tasks.extractors import get, names, unavailable\n"
        "print(get('text_letters').card.fingerprint(), get('text_navec').card.fingerprint(), *unavailable())"
    )
    environment = {**os.environ, "PYTHONPATH": str(named.folder)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    expected = [get("text_letters").card.fingerprint(), get("text_navec").card.fingerprint(), *unavailable()]
    assert ran.stdout.split() == expected
    assert "otzyv_first.text_navec" in expected
    assert get("text_navec").card.source != "a test"


HALF = toy("text_before")
BROKEN: dict[str, tuple[str | None, str]] = {
    "not there": (None, "ModuleNotFoundError: No module named 'otzyv_broken'; "
                  "install it beside otzyv, or name its folder in PYTHONPATH"),
    "lacks a library": ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    "no Python": ("def", "SyntaxError: invalid syntax (otzyv_broken.py, line 1)"),
    "raises": (f"{HALF}\nraise RuntimeError('two\\nlines')", "RuntimeError: two"),
    "ends the process": (f"{HALF}\nraise SystemExit(3)", "SystemExit: 3"),
    "registers twice": (f"{HALF}\n@register(Card(name='text_before', version=1, modality='text', doc='', licence='', "
                        "source=''))\ndef other(card, weights): ...",
                        "ValueError: an extractor named 'text_before' is already registered"),
    "wants no such field": (toy("text_before", colour="1"),
                            "TypeError: Card.__init__() got an unexpected keyword argument 'colour'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_module_that_cannot_be_imported_is_told_in_one_line_and_harms_no_other(named: Named, case: str) -> None:
    code, said = BROKEN[case]
    module = f"otzyv_broken_{list(BROKEN).index(case)}"
    named(**{module: code, f"{module}_good": toy("text_letters")})
    why = f"the setting extractor_modules names {module}, which can't be imported: "
    why += said.replace("otzyv_broken", module)
    half = {"text_before"} if code and code.startswith(HALF) else set()
    assert unavailable_now() == dict.fromkeys([module, *half], why)
    assert set(names()) == {*OURS, "text_letters"}
    shown = CliRunner().invoke(main, ["models"])
    assert (shown.exit_code, f"unavailable: {module}: {why}\n" in shown.output) == (0, True)
    refused = CliRunner().invoke(main, ["models", "where", "text_before"])
    assert refused.exit_code == (1 if half else 2)
    assert why in refused.output.splitlines()[-1]
    for name in half:
        with pytest.raises(BrokenModule):
            get(name)


def test_what_a_package_has_registered_before_it_failed_is_unavailable(named: Named) -> None:
    package = named.folder / "otzyv_package"
    package.mkdir()
    (package / "words.py").write_text(toy("text_words"))
    (package / "__init__.py").write_text("from otzyv_package import words\nraise OSError('no disk')\n")
    named(otzyv_package=None)
    assert set(unavailable_now()) == {"otzyv_package", "text_words"}
    assert "OSError: no disk" in unavailable_now()["text_words"]


def test_a_module_is_run_once_in_a_process_though_it_fails(named: Named) -> None:
    counted = named.folder / "runs"
    named(otzyv_counted=f"with open({str(counted)!r}, 'a') as file: file.write('x')\nraise OSError")
    for _ in range(3):
        names()
    assert counted.read_text() == "x"


def test_a_name_that_two_modules_have_is_neithers(named: Named) -> None:
    named(otzyv_one=toy("text_same") + toy("text_one"), otzyv_two=toy("text_same"))
    assert set(names()) == {*OURS, "text_one"}
    said = "otzyv_one and otzyv_two each register an extractor 'text_same': rename one, or leave one module out"
    assert unavailable_now() == {"text_same": said}
    with pytest.raises(BrokenModule, match="each register"):
        get("text_same")


def test_a_name_of_ours_is_refused_and_ours_stays(named: Named) -> None:
    named(otzyv_ours=toy("text_navec"), otzyv_theirs=toy("text_navec") + toy("text_openai"))
    assert names() == OURS
    assert get("text_navec").card.source != "a test"
    assert unavailable_now() == {
        f"{module}.{name}": f"{module} registers {name!r}, a name that one of otzyv's own has"
        for module, name in (
            ("otzyv_ours", "text_navec"), ("otzyv_theirs", "text_navec"), ("otzyv_theirs", "text_openai")
        )
    }  # fmt: skip


def test_a_model_of_the_settings_does_not_take_the_name_of_a_modules(
    named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(otzyv_taken=toy("text_letters"))
    model = {"kind": "transformers", "model": "somebody/something", "revision": "0" * 40}
    monkeypatch.setenv("OTZYV_EXTRACTORS", json.dumps({"text_letters": model}))
    assert get("text_letters").card.source == "a test"
    assert "of that name already" in unavailable_now()["extractors.text_letters"]


WRONG = {
    "a table of the lake": (toy("reviews"), "a name begins with text_, image_, audio_ or sentiment_"),
    "components": (toy("pca_text_x"), "a name begins with text_"),
    "a path": (toy("text_../../x"), "goes on in a-z, 0-9 and _"),
    "capitals": (toy("text_Mine"), "goes on in a-z, 0-9 and _"),
    "modality": (toy("text_x", modality="'words'"), "modality is 'words'; there are: raw, plain, text, image"),
    "no input": (toy("image_x", modality="'image'"), "input goes with modality image (an ImageInput)"),
    "nothing": (toy("text_x", dim="None"), "it promises neither dim nor columns"),
    "a key's name": (
        toy("text_x", columns="(Column(name='status', type=None, doc='', required=False, value=True),)"),
        "its card is broken: ValueError: table 'text_x': columns named twice ['status']",
    ),
    "no column": (toy("text_x", columns="('words',)"), "its card is broken: AttributeError: 'str' object has no"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_extractor_that_cannot_be_used_is_told_and_harms_no_other(named: Named, case: str) -> None:
    code, said = WRONG[case]
    named(**{f"otzyv_wrong_{list(WRONG).index(case)}": code + toy("text_letters")})
    (why,) = unavailable_now().values()
    assert said in why
    assert "\n" not in why
    assert set(names()) == {*OURS, "text_letters"}


@pytest.mark.parametrize("name", ["my/features.py", "my features", "", "my..features", ".features"])
def test_a_setting_that_names_no_module_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("OTZYV_EXTRACTOR_MODULES", json.dumps([name]))
    monkeypatch.delenv("OTZYV_SETTINGS", raising=False)
    with pytest.raises(WrongSettings) as wrong:
        extractor_settings()
    assert str(wrong.value) == (
        f"settings: extractor_modules: {name!r} is no module; name it as Python imports it, such as my.features"
    )
    assert set(names()) == set(OURS)


def test_an_unknown_name_without_broken_modules_says_what_there_is(named: Named) -> None:
    named()
    with pytest.raises(NotFound) as error:
        get("text_nothing")
    assert str(error.value) == f"no extractor 'text_nothing'; there are: {', '.join(OURS)}"


def test_a_function_that_is_defined_again_takes_its_former_place(named: Named) -> None:
    cell: dict[str, object] = {"__name__": "otzyv_notebook"}
    for version in ("1", "2"):
        exec(toy("text_letters", version=version), cell)
        assert get("text_letters").card.version == int(version)
