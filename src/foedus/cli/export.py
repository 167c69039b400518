"""`foedus release export`: the release as one zip, or as a folder that another library loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.report import Anchor, Named
from foedus.cli.shell import shell

__all__ = ["export"]


def export(
    name: Named,
    *,
    to: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="peft, transformers, onnx or mlflow; left out: the release itself, as zip."),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The zip, or with --to the folder, to write.")] = None,
    anchor: Anchor = None,
) -> None:
    """Pack a release as one zip, the same bytes each time; or, with --to, as a folder that another library loads."""
    if to is None:
        _pack(name, out)
    else:
        _convert(name, to, out, anchor)


def _pack(name: str, out: Path | None) -> None:
    from foedus.cli.release import _find
    from foedus.release.bundle import opened, pack

    here = shell()
    source = _find(name)
    target = out or Path(f"{source.name.removesuffix('.foedus')}.foedus.zip")
    with opened(source) as folder:
        pack(folder, target)
    here.say("release.cli.packed", file=target)
    here.result("release.export", {"file": str(target)})
    here.next(f"foedus verify {target}")


def _convert(name: str, to: str, out: Path | None, anchor: str | None) -> None:
    from foedus.cli.report import seen_with
    from foedus.core.clock import now
    from foedus.core.errors import CallerError

    here = shell()
    path, options, _ = seen_with(name, anchor)
    from foedus.export import FORMS, export, verified
    from foedus.export.write import TOLERANCE

    form = next((one for one in FORMS if one == to), None)
    if form is None:
        raise CallerError("export.unknown-form", got=to, known=", ".join(FORMS))
    with verified(path, at=now(), **options) as source:
        target = out or Path(f"{source.name}-{form}")
        done = export(source, form, target)
    difference = f"{done.difference:.2g}"
    here.say("export.cli.done", release=source.name, form=form, folder=target)
    here.say("export.cli.difference", difference=difference, tolerance=f"{TOLERANCE:g}")
    here.say("export.cli.covered", count=len(done.released), all=len(done.files))
    data = {"files": done.files, "files_of_the_release": list(done.released)}
    here.result("release.export", {"folder": str(target), "form": form, "difference": f"{done.difference:.9f}", **data})
    here.next(f"foedus verify {path} --anchor {source.anchor}")
