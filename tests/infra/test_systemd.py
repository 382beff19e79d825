"""The systemd unit starts a command that there is, with variables and options that it knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from otzyv.flows.command.serve import serve
from otzyv.flows.settings import Settings

UNIT = Path(__file__).parents[2] / "infra" / "systemd" / "otzyv.service"


def test_the_unit_serves_with_options_and_variables_that_are_known() -> None:
    text = UNIT.read_text()
    (line,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    program, command, *options = shlex.split(line)
    assert (Path(program).name, command) == ("otzyv", serve.name)
    known = {name for parameter in serve.params for name in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known
    told = set(re.findall(r"OTZYV_\w+", text))
    assert told <= {f"OTZYV_{name.upper()}" for name in Settings.model_fields} | {"OTZYV_SETTINGS", "OTZYV_MODELS"}
    assert {"Restart=always", "KillMode=mixed"} <= set(text.splitlines())
    assert re.findall("^(?:Memory|Tasks|Limit).*=", text, re.MULTILINE)
