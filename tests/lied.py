"""A coordinator that enters another examination than its members measured; everything else is as agreed."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import patch

import foedus.run
from foedus.records.base import decimal
from foedus.records.metrics import count_names, figures_of
from foedus.workspace import consortium, open_workspace
from practised import done, ready_to_run


def examined_falsely(folder: Path, change) -> Path:
    """A consortium whose run entered what `change` made of the honest examination."""
    home = shutil.copytree(ready_to_run(), folder / "p")
    honest = foedus.run.examination
    with patch.object(foedus.run, "examination", lambda *given, **named: change(honest(*given, **named))):
        done("run", "start", "--workers", "0", "--workspace", home / "hub")
    return home


def drafted(home: Path) -> Path:
    """The draft of the run, by the coordinator."""
    return Path(done("release", "build", "--run", "run-1", "--version", "1.0", "--workspace", home / "hub")["folder"])


def narrowed(examination):
    """Counts and estimates as they were measured, every interval a point."""
    sure = [one.model_copy(update={"low": one.estimate, "high": one.estimate}) for one in examination.figures]
    return examination.model_copy(update={"figures": tuple(sure)})


def made_up(examination):
    """Invented counts, with the estimates and intervals that they give."""
    task = consortium(open_workspace(ready_to_run() / "hub")).accord.task
    counts = {
        m: {arm: _invented(task.labels, one) for arm, one in arms.items()} for m, arms in examination.counts.items()
    }
    rows = {
        m: {arm: [one[name] for name in count_names(task)] for arm, one in arms.items()} for m, arms in counts.items()
    }
    values = {one[:3]: decimal(float(one.value), digits=6) for one in figures_of(task, rows)}
    figures = []
    for one in examination.figures:
        value = values[one.arm, one.member, one.metric]
        figures.append(one.model_copy(update={"estimate": value, "low": value, "high": value}))
    return examination.model_copy(update={"counts": counts, "figures": tuple(figures)})


def _invented(labels, counts):
    """The first label never found and taken for the second, every other found."""
    first, second, *_ = labels
    out = {name: counts[f"true/{name.partition('/')[2]}"] for name in counts}
    out[f"predicted/{second}"] += out[f"true/{first}"]
    return out | {f"right/{first}": 0, f"predicted/{first}": 0}
