"""The documentation's IAM policies for Terraform, made of their JSON."""

from __future__ import annotations

import json
from typing import Any

# IAM's elements, by Terraform's arguments of a statement.
_ELEMENTS = {"sid": "Sid", "effect": "Effect", "actions": "Action", "resources": "Resource"}
_DEFAULT_EFFECT = "Allow"


def policy_document(name: str, policy: dict[str, Any]) -> str:
    """Return Terraform's data source for a policy.

    :param name: of the data source
    :param policy: as IAM's JSON has it
    """
    body = "\n\n".join(_block("statement", _statement(statement)) for statement in policy["Statement"])
    return f'data "aws_iam_policy_document" "{name}" {{\n{_indented(body)}\n}}\n'


def _statement(statement: dict[str, Any]) -> str:
    values = {name: statement[element] for name, element in _ELEMENTS.items() if element in statement}
    if values["effect"] == _DEFAULT_EFFECT:
        del values["effect"]
    parts = [
        _arguments({name: value if name in {"sid", "effect"} else _listed(value) for name, value in values.items()})
    ]
    for kind, identifiers in statement.get("Principal", {}).items():
        parts.append(_block("principals", _arguments({"type": kind, "identifiers": _listed(identifiers)})))
    for test, variables in statement.get("Condition", {}).items():
        for variable, expected in variables.items():
            condition = {"test": test, "variable": variable, "values": _listed(expected)}
            parts.append(_block("condition", _arguments(condition)))
    return "\n\n".join(parts)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _arguments(values: dict[str, Any]) -> str:
    expressions = {name: _expression(value) for name, value in values.items()}
    # terraform fmt aligns arguments of one line each.
    width = 0 if "\n" in "".join(expressions.values()) else max(map(len, expressions))
    return "\n".join(f"{name:{width}} = {expression}" for name, expression in expressions.items())


def _expression(value: str | list[str]) -> str:
    if isinstance(value, str) or len(value) <= 2:  # noqa: PLR2004  # what fits a line
        return json.dumps(value)
    return "[\n" + "".join(f"  {json.dumps(each)},\n" for each in value) + "]"


def _block(name: str, body: str) -> str:
    return f"{name} {{\n{_indented(body)}\n}}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.splitlines())
