"""Help pages in the reader's language.

A command's help is written once, in English, where the command is. `messages/zh/help.toml` holds the Chinese of each
such text under the English one, so a changed text cannot keep a stale translation: a test names what has none.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from foedus.core.messages import catalogue, language, say

__all__ = ["page", "texts", "translated"]


def translated(text: str) -> str:
    """An English help text in the language in force; itself where there is no other."""
    return str(catalogue("help", "zh").get(text, text)) if language() == "zh" else text


def about(command: Any) -> str:
    """The help text of a command or group as it is written, in English."""
    return inspect.cleandoc(command.help or "")


def texts(command: Any, path: str = "foedus") -> Iterator[tuple[str, str]]:
    """Every help text from a command down, with where it stands; an absent text is given as empty."""
    yield path, about(command)
    for parameter in _shown(command):
        yield f"{path} {_name(parameter)}", parameter.help or ""
    for name, child in _children(command).items():
        yield from texts(child, f"{path} {name}")


def page(
    command: Any,
    path: Sequence[str],
    panels: Mapping[str, Sequence[str]] | None = None,
    *,
    with_global: bool = True,
) -> str:
    """The help page of a command.

    `panels`: for the root, the titles under which its commands stand (a catalogue key → names).
    `with_global`: say which options every command takes.
    """
    children = _children(command)
    parameters = _shown(command)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    usage = [*path, *(_name(p) for p in arguments), *(["COMMAND"] if children else []), "[OPTIONS]"]
    parts = [f"{say('cli.help.usage')} {' '.join(usage)}"]
    if text := about(command):
        parts.append(translated(text))
    if panels:
        parts += [_listing(say(f"cli.help.{key}"), {n: children[n] for n in names}) for key, names in panels.items()]
    elif children:
        parts.append(_listing(say("cli.help.commands"), children))
    for title, kind in (("arguments", "argument"), ("options", "option")):
        rows = [(_name(p), _meaning(p)) for p in parameters if p.param_type_name == kind]
        if rows:
            parts.append(_rows(say(f"cli.help.{title}"), rows))
    if with_global:
        parts.append(
            _rows(say("cli.help.global"), [(spelt, say(f"cli.option.{key}")) for key, spelt in _GLOBAL.items()])
        )
    return "\n\n".join(parts)


_GLOBAL = {
    "workspace": "--workspace DIR",
    "json": "--json",
    "lang": "--lang en|zh",
    "quiet": "-q, --quiet",
    "verbose": "-v, --verbose",
    "yes": "-y, --yes",
    "version": "--version",
    "help": "-h, --help",
}


def _children(command: Any) -> dict[str, Any]:
    return {name: child for name, child in getattr(command, "commands", {}).items() if not child.hidden}


def _shown(command: Any) -> list[Any]:
    return [p for p in command.params if not getattr(p, "hidden", False) and p.name not in _COMPLETION]


_COMPLETION = ("install_completion", "show_completion", "help")


def _name(parameter: Any) -> str:
    """How a parameter is written: `PATH`, `[PATH]…` or `--anchor TEXT`."""
    if parameter.param_type_name == "argument":
        metavar = (parameter.metavar or parameter.name.upper().replace("_", "-")).strip("[]….")
        many = "…" if parameter.nargs == -1 else ""
        return (metavar if parameter.required else f"[{metavar}]") + many
    spelt = ", ".join(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    return spelt if parameter.is_flag else f"{spelt} {parameter.metavar or _value(parameter)}"


def _value(parameter: Any) -> str:
    """What an option takes: its choices or its kind. Typer keeps the annotation from 0.29 on, click's type before."""
    if (descriptor := getattr(parameter, "type_descriptor", None)) is None:
        choices = getattr(parameter.type, "choices", None)
        return "|".join(map(str, choices)) if choices else str(parameter.type.name).upper()
    annotation = descriptor.annotation
    inner = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    if all(isinstance(kind, str) for kind in inner):
        return "|".join(inner)
    return {int: "N", Path: "PATH"}.get(inner[0], "TEXT")


def _meaning(parameter: Any) -> str:
    text = translated(inspect.cleandoc(parameter.help or ""))
    default = parameter.default
    is_flag = getattr(parameter, "is_flag", False)  # arguments have none
    if default in (None, False, (), [], "") or is_flag or callable(default) or not parameter.show_default:
        return text
    return f"{text} [{say('cli.help.default')} {default}]".strip()


def _listing(title: str, commands: Mapping[str, Any]) -> str:
    return _rows(
        title, [(name, translated(about(c)).split("\n\n")[0].replace("\n", " ")) for name, c in commands.items()]
    )


def _rows(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in rows)
    wide = min(width, 30)
    lines = [title]
    for left, right in rows:
        first, *rest = right.splitlines() or [""]
        start = f"  {left:<{wide}}  {first}" if len(left) <= wide else f"  {left}\n  {'':<{wide}}  {first}"
        lines += [start.rstrip(), *(f"  {'':<{wide}}  {line}" for line in rest)]
    return "\n".join(lines)
