"""Flows that anybody may start through Prefect's API: what they are asked for is checked, and refused by a sentence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.exceptions import ParameterBindError, ParameterTypeError
from pydantic import ValidationError

from otzyv.flows.refused import Refused

P = ParamSpec("P")
R = TypeVar("R")
OURS = "value_error"
"""The kind of what a validator of ours has raised, whose text is a sentence."""
NEITHER_NONE = "none_required"
"""The kind of what is said beside other errors of a value that may be left out."""


class WrongParameters(Refused):
    """A run is given what none can be made of."""


class _Checked(Flow[P, R]):
    """Prefect's own text says that a flow "received invalid parameters", in pydantic's words."""

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Raises WrongParameters."""
        try:
            return super().validate_parameters(parameters)
        except ParameterTypeError as error:
            raise WrongParameters("; ".join(_reasons(error)) or f"{self.name} can't be given that") from error
        except (ParameterBindError, TypeError) as error:
            needed = [name for name, each in self.parameters.properties.items() if name in self.parameters.required]
            unknown = sorted(parameters.keys() - self.parameters.properties.keys())
            more = f", and knows no {', '.join(unknown)}" if unknown else ""
            raise WrongParameters(f"{self.name} is to be given {' and '.join(needed)}{more}") from error


def checked_flow(*, name: str, flow_run_name: Callable[[], str]) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Like Prefect's ``flow``."""
    return lambda function: _Checked(function, name=name, flow_run_name=flow_run_name)


def _reasons(error: ParameterTypeError) -> Iterator[str]:
    """What is wrong with which parameter, without what was given."""
    known = error.__context__
    told = known.errors(include_input=False, include_url=False) if isinstance(known, ValidationError) else []
    optional = {each["loc"][:-1] for each in told if each["type"] == NEITHER_NONE}
    for each in told:
        if each["type"] != NEITHER_NONE:
            yield _reason(_where(each["loc"], optional), each)


def _where(loc: Sequence[str | int], optional: Collection[Sequence[str | int]]) -> str:
    """Where it stands, without the kinds of value that an ``optional`` one may be, which pydantic names there too."""
    return ".".join(str(part) for at, part in enumerate(loc) if loc[:at] not in optional)


def _reason(where: str, error: Mapping[str, Any]) -> str:
    if error["type"] == OURS:
        return str(error["ctx"]["error"])
    if str(error["type"]).startswith(("date_", "datetime_")):
        return f"{where} is no day: write it as 2026-03-01"
    said = str(error["msg"])
    return f"{where}: {said[:1].lower()}{said[1:]}"
