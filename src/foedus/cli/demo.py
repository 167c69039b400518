"""`foedus demo`: the whole life on real data, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.shell import shell


def demo(
    name: Annotated[
        str, typer.Argument(help="banking, reviews (Chinese texts) or finance (needs FOEDUS_DATA).")
    ] = "banking",
    out: Annotated[Path | None, typer.Option(help="A new folder for it; by default ./foedus-demo.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
) -> None:
    """From an accord to a verified release on packaged data, offline, with every step told."""
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    here = shell()
    folder = out or _free(Path("foedus-demo" if name == "banking" else f"foedus-demo-{name}"))
    from foedus.demo import opening, scenario

    told = scenario(name)
    for text in opening(told, folder):
        here.line(text)
    from foedus.demo.story import tell

    ending = tell(told, folder, line=here.line, workers=workers)
    here.result(
        "demo",
        {
            "folder": str(ending.folder),
            "release": str(ending.bundle),
            "anchor": ending.anchor,
            "metric": ending.metric,
            "federated": ending.federated,
            "alone": {member: round(value, 6) for member, value in ending.alone.items()},
            "pooled": round(ending.pooled, 6),
            "state": ending.outcome.state,
            "seconds": round(ending.seconds, 1),
        },
    )
    here.next(
        f"foedus verify {ending.bundle} --anchor {ending.anchor}",
        f'foedus release predict {ending.bundle} --text "…" --workspace {ending.folder}/hub',
        f"foedus accord explain {ending.bundle}/accord/accord.json",
        f"foedus ledger show --workspace {ending.folder}/hub",
        f"foedus up --pages-only --workspace {ending.folder}/hub",
    )


def _free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3 … that is not there yet."""
    number, chosen = 1, folder
    while chosen.exists():
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    return chosen
