"""`foedus`: the global options, the commands of the other modules, and one way of ending.

Global options may stand before or after the command, as people type them: they are taken out of the arguments first.
How a call ends is decided here alone: a `FoedusError` prints what was expected, what was got and what to do, and gives
the exit code of its family; anything else is a bug in Foedus and gives 5.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from foedus.cli import (
    accord,
    bench,
    completion,
    credit,
    data,
    demo,
    doctor,
    export,
    gate,
    hub,
    join,
    journal,
    ledger,
    login,
    look,
    member,
    monitor,
    new,
    propose,
    release,
    report,
    revoke,
    serve,
    sign,
    tune,
    up,
    verify,
)
from foedus.cli import (
    run as runs,
)
from foedus.cli.help import page
from foedus.cli.shell import JSON_VERSION, shell
from foedus.core.errors import CallerError, FoedusError
from foedus.core.messages import LANGUAGES, ErrorText, catalogue, error_text, language, say, set_language

__all__ = ["EXTRA_OF", "PANELS", "build", "main", "run"]

accord.app.command("sign")(sign.sign)
release.app.command("revoke")(revoke.revoke)
release.app.command("rollback")(serve.rollback)
runs.app.command("log")(look.log)
runs.app.command("compare")(look.compare)
runs.app.command("tune")(tune.tune)
runs.app.command("propose")(propose.propose)
runs.app.command("proposals")(propose.proposals)
runs.app.command("vote")(propose.vote)
runs.app.command("report")(report.report)
credit.app.command("statement")(report.statement)
release.app.command("export")(export.export)
release.app.command("certificate")(report.certificate)
release.app.command("audit")(report.audit)
GROUPS = {
    "accord": accord.app,
    "bench": bench.app,
    "credit": credit.app,
    "data": data.app,
    "gate": gate.app,
    "hub": hub.app,
    "journal": journal.app,
    "ledger": ledger.app,
    "member": member.app,
    "monitor": monitor.app,
    "release": release.app,
    "run": runs.app,
    "serve": serve.app,
}
DEFAULTS = {"serve": "start"}
"""Groups whose own name is enough for one of their commands: `foedus serve RELEASE` is `foedus serve start RELEASE`."""

COMMANDS: dict[str, Callable[..., None]] = {
    "completion": completion.completion,
    "demo": demo.demo,
    "doctor": doctor.doctor,
    "join": join.join,
    "login": login.login,
    "new": new.new,
    "up": up.up,
    "verify": verify.verify,
}
PANELS = {
    "agree": ("demo", "new", "accord", "member", "data"),
    "build": ("up", "join", "hub", "login", "run", "credit"),
    "release": ("gate", "release", "verify", "serve", "monitor"),
    "record": ("ledger", "journal"),
    "here": ("doctor", "completion", "bench"),
}
"""The titles under which `foedus --help` lists the commands: a key of `cli.help` → names."""

EXTRA_OF = {
    "fastapi": "serve",
    "flwr": "flower",
    "jinja2": "serve",
    "mlflow": "export",
    "numpy": "train",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "pandas": "export",
    "peft": "train",
    "prometheus_client": "serve",
    "psycopg": "postgres",
    "pyarrow": "train",
    "safetensors": "train",
    "sqlalchemy": "serve",
    "starlette": "serve",
    "tokenizers": "train",
    "torch": "train",
    "transformers": "train",
    "uvicorn": "serve",
}
"""Which extra brings a module that the base installation lacks."""

_BUG_EXIT = 5
_USAGE_EXIT = 2
_INTERRUPTED_EXIT = 130
_GONE_EXIT = 1
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


def build() -> Any:
    """The tree of commands."""
    app = typer.Typer(
        name="foedus",
        help="Several organisations, one model: from a signed accord to a release that anyone can verify.",
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    return typer.main.get_command(app)


@dataclass(slots=True)
class Call:
    """The arguments of a call, taken apart: what is left for the command, and the global options."""

    rest: list[str] = field(default_factory=list)
    workspace: str | None = None
    lang: str | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    help: bool = False
    version: bool = False


_FLAGS = {
    "--json": "as_json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
    "-y": "yes",
    "--yes": "yes",
    "-h": "help",
    "--help": "help",
}


def take_apart(arguments: Sequence[str]) -> Call:
    """Take the global options out of the arguments; what follows `--` is the command's own.

    Raises:
        CallerError: `cli.value-missing` for an option without its value.
    """
    call = Call()
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            call.rest += [word, *waiting]
            break
        if name in ("--workspace", "--lang"):
            if not equals and not waiting:
                raise CallerError("cli.value-missing", option=name)
            setattr(call, name.removeprefix("--"), value if equals else waiting.pop(0))
        elif word in _FLAGS:
            setattr(call, _FLAGS[word], True)
        elif word == "--version" and not call.rest:
            call.version = True
        else:
            call.rest.append(word)
    return call


def main() -> None:
    """The entry point `foedus`."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """One call of `foedus`; gives the exit code."""
    here = shell()
    here.as_json = "--json" in arguments  # an error in the arguments themselves is told as asked for, too
    here.verbose = "-v" in arguments or "--verbose" in arguments
    try:
        set_language(_language({}, environment, None))
        call = take_apart(arguments)
        here.as_json, here.quiet, here.verbose, here.yes = call.as_json, call.quiet, call.verbose, call.yes
        here.workspace = Path(call.workspace or environment.get("FOEDUS_WORKSPACE") or ".")
        here.passphrase = environment.get("FOEDUS_PASSPHRASE")
        set_language(_language(_settings(here.workspace), environment, call.lang))
        code = _command(call, environment)
        sys.stdout.flush()
        return code
    except FoedusError as error:
        return _tell(error_text(error), error.fields, error.exit_code)
    except ImportError as error:
        return _missing(error)
    except BrokenPipeError:  # who read our output has gone: there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _GONE_EXIT
    except KeyboardInterrupt:
        return _INTERRUPTED_EXIT
    except _ClickError as error:
        return _usage(error)
    except OSError as error:  # a path that the system refuses, wherever it was first touched
        if error.filename is None:
            return _bug(error)
        refused = CallerError("files.unreadable", path=str(error.filename), reason=error.strerror or str(error))
        return _tell(error_text(refused), refused.fields, refused.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever is left is a bug, and a bug has its own exit code
        return _bug(error)


def _command(call: Call, environment: Mapping[str, str]) -> int:
    root = build()
    if "_FOEDUS_COMPLETE" in environment:
        return _exit_code(root.main(args=call.rest, prog_name="foedus", standalone_mode=False))
    if call.version:
        from importlib.metadata import version

        shell().line(f"foedus {version('foedus')}")
        shell().result("version", {"version": version("foedus")})
        return 0
    path, command = _find(root, call.rest)
    is_group = hasattr(command, "commands")
    only_group = is_group and len(path) == len(call.rest) + 1
    if call.help or only_group:
        shell().line(page(command, path, PANELS if len(path) == 1 else None))
        shell().result("help", {"command": " ".join(path), "commands": sorted(getattr(command, "commands", {}))})
        return 0 if call.help else _USAGE_EXIT
    if is_group and path[-1] in DEFAULTS:
        call.rest.insert(len(path) - 1, DEFAULTS[path[-1]])
    elif is_group and not call.rest[len(path) - 1].startswith("-"):
        word = call.rest[len(path) - 1]
        raise CallerError(
            "cli.unknown-command", got=word, path=" ".join(path), known=", ".join(sorted(command.commands))
        )
    return _exit_code(root.main(args=call.rest, prog_name="foedus", standalone_mode=False))


def _find(root: Any, words: Sequence[str]) -> tuple[list[str], Any]:
    """The command that the words name, as far as they name one, and its path."""
    path, command = ["foedus"], root
    for word in words:
        child = getattr(command, "commands", {}).get(word)
        if child is None:
            break
        path.append(word)
        command = child
    return path, command


def _exit_code(value: object) -> int:
    return value if isinstance(value, int) else 0


def _settings(workspace: Path) -> Mapping[str, Any]:
    """What `workspace.json` says; nothing where none can be read. Commands that need one say what is wrong with it."""
    try:
        value = json.loads((workspace / "workspace.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _language(settings: Mapping[str, Any], environment: Mapping[str, str], flag: str | None) -> Any:
    """Flag, FOEDUS_LANG, workspace, LC_ALL or LANG, English: the first that is set."""
    named = flag or environment.get("FOEDUS_LANG") or settings.get("language")
    if named is None:
        place = environment.get("LC_ALL") or environment.get("LANG") or ""
        return "zh" if place.startswith("zh") else "en"
    if named not in LANGUAGES:
        raise CallerError("cli.no-such-language", got=str(named), known=", ".join(LANGUAGES))
    return named


def _tell(text: ErrorText, fields: Mapping[str, object], exit_code: int) -> int:
    """Print an error for people on stderr and, with --json, as one object on stdout."""
    if shell().verbose:
        traceback.print_exc()
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the rim prints
    if shell().as_json:
        body = {
            "foedus": JSON_VERSION,
            "kind": "error",
            "code": text.code,
            "fields": dict(fields),
            "expected": text.expected,
            "got": text.got,
            "do": text.do,
            "exit": exit_code,
        }
        print(json.dumps(body, ensure_ascii=False, sort_keys=True, default=str))  # noqa: T201 - the rim prints
    return exit_code


def _missing(error: ImportError) -> int:
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF or not isinstance(error, ModuleNotFoundError):
        return _bug(error)
    missing = CallerError("cli.extra-missing", module=module, extra=EXTRA_OF[module])
    return _tell(error_text(missing), missing.fields, missing.exit_code)


def _usage(error: Exception) -> int:
    wrong = _misused(error)
    return _tell(error_text(wrong), wrong.fields, _USAGE_EXIT)


def _misused(error: Any) -> CallerError:
    """What is wrong with the arguments of a command, in our own words; the parser has them in English only."""
    command = getattr(getattr(error, "ctx", None), "command_path", "foedus")
    message = str(getattr(error, "format_message", error.__str__)())
    param = getattr(error, "param", None)
    option = str(getattr(error, "option_name", ""))
    name = param.opts[0] if param is not None and param.opts[0].startswith("-") else _argument(param)
    extra = re.search(r"extra arguments? \((.*)\)", message)
    match type(error).__name__:
        case "MissingParameter":
            return CallerError("cli.missing-argument", name=name, command=command)
        case "NoSuchOption":
            return CallerError("cli.no-such-option", option=option, command=command)
        case "BadOptionUsage":
            return CallerError("cli.value-missing", option=option)
        case "BadParameter" if param is not None:
            found = re.search(r"'(.*?)' (?:is|does|has)|^(\S+) is not in", str(error.message), re.DOTALL)
            got = found[1] or found[2] if found else "–"
            return CallerError("cli.bad-value", name=name, command=command, kind=_kind(param.type), got=got)
        case _ if extra:
            return CallerError("cli.unexpected-argument", command=command, got=extra[1])
    return CallerError("cli.usage", message=message, command=command)


def _kind(kind: Any) -> str:
    """What the parser takes, in words."""
    if kind.name.endswith(" range"):
        return say("cli.kind.range", range=kind._describe_range())
    return say(f"cli.kind.{kind.name if kind.name in catalogue('cli', language())['kind'] else 'other'}")


def _argument(param: Any) -> str:
    """An argument as the help page names it."""
    return str(param.metavar or param.name).upper() if param is not None else ""


def _bug(error: Exception) -> int:
    where = traceback.extract_tb(error.__traceback__)[-1]
    fields = {
        "kind": type(error).__name__,
        "message": str(error)[:300],
        "where": f"{Path(where.filename).name}:{where.lineno}",
    }
    return _tell(error_text(FoedusError("cli.bug", **fields)), fields, _BUG_EXIT)
