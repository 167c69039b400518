"""One export, whole or not at all: made in a folder beside the target, compared, described, then put in its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from foedus.core import canonical
from foedus.core.clock import spell
from foedus.core.digest import sha256_file
from foedus.core.errors import CallerError, RunError
from foedus.core.files import write_atomic
from foedus.core.messages import say
from foedus.export.source import Source

__all__ = ["ABOUT", "FORMS", "Exported", "export"]

Form = Literal["peft", "transformers", "onnx", "mlflow"]
FORMS: tuple[Form, ...] = get_args(Form)
ABOUT = "FOEDUS"
TOLERANCE = 1e-4
"""The greatest difference of logits between a release and what was made of it."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A folder, its form, the greatest difference of its logits from the release's, and its files: path → digest.

    `released` are the paths of files that are the release's own, byte for byte.
    """

    folder: Path
    form: Form
    difference: float
    files: dict[str, str]
    released: tuple[str, ...]


def export(source: Source, form: Form, target: Path) -> Exported:
    """Write a release as a folder that another library loads.

    Raises:
        CallerError: `export.folder-exists`; `export.no-adapter` for `peft` from a release of every weight.
        RunError: `export.differs` when what was made does not give the release's logits; `files.cannot-write`.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CallerError("export.folder-exists", path=str(target))
    make: Callable[[Source, Path], float] = import_module(f"foedus.export.to_{form}").make
    work = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        difference = make(source, work)
        if not difference <= TOLERANCE:
            raise RunError("export.differs", form=form, difference=f"{difference:.3g}", tolerance=f"{TOLERANCE:g}")
        files = {str(path.relative_to(work)): sha256_file(path) for path in sorted(work.rglob("*")) if path.is_file()}
        theirs = {path.name: sha256_file(path) for path in source.model.iterdir() if path.is_file()}
        released = tuple(name for name, digest in files.items() if theirs.get(Path(name).name) == digest)
        done = Exported(target, form, difference, files, released)
        _describe(source, done, work)
        if target.is_dir():
            target.rmdir()
        work.replace(target)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(target), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


def _describe(source: Source, done: Exported, folder: Path) -> None:
    """FOEDUS.json for programs, FOEDUS.md for people: which release this is, and what its signatures cover."""
    proposal, accord = source.proposal, source.accord
    facts = {
        "foedus": 1,
        "kind": "export",
        "form": done.form,
        "made_at": spell(source.at),
        "practice": accord.custody == "one-process",
        "release": source.name,
        "proposal": proposal.digest,
        "model": proposal.model,
        "accord": proposal.accord,
        "anchor": source.anchor,
        "checkpoint": {"size": source.size, "recorded_at": source.recorded_at},
        "licence": accord.release.licence,
        "uses": list(accord.purpose.uses),
        "greatest_difference": f"{done.difference:.9f}",
        "files": done.files,
        "files_of_the_release": list(done.released),
    }
    write_atomic(folder / f"{ABOUT}.json", canonical.encode(facts))
    practice = [f"**{say('release.practice')}**", ""] if accord.custody == "one-process" else []
    lines = [
        *practice,
        f"# {say('export.about.title', release=source.name, form=done.form)}",
        "",
        say("export.about.release", proposal=proposal.digest, model=proposal.model),
        "",
        say("export.about.anchor", anchor=source.anchor, size=source.size, at=source.recorded_at),
        "",
        say("export.about.difference", difference=f"{done.difference:.2g}"),
        "",
        say("export.about.covered" if done.released else "export.about.nothing-covered"),
        "",
        *(f"- `{name}` `{done.files[name]}`" for name in done.released),
        "",
        say("export.about.uses", uses=", ".join(accord.purpose.uses), licence=accord.release.licence),
        "",
        "```",
        f"foedus verify {source.name}.foedus --anchor {source.anchor}",
        "```",
        "",
    ]
    write_atomic(folder / f"{ABOUT}.md", "\n".join(lines).encode())
