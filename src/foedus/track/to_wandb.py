"""Weights & Biases, offline: a run of the project `foedus` in FOLDER/wandb. `wandb sync` is the user's own act.

Machine, user, repository and console are not recorded.
"""

from __future__ import annotations

from pathlib import Path

import wandb

from foedus.track.log import Entry

__all__ = ["PROJECT", "open_logger"]

PROJECT = "foedus"


class _WandB:
    def __init__(self, run: wandb.Run) -> None:
        self._run = run

    def log(self, entry: Entry) -> None:
        if entry.facts:
            self._run.config.update(dict(entry.facts), allow_val_change=True)  # type: ignore[no-untyped-call]  # no types there
        if entry.values:
            self._run.log({"round": entry.round, **entry.values})

    def close(self) -> None:
        self._run.finish()


def open_logger(folder: Path, run: str) -> _WandB:
    """A run of this name; one that goes on has a second offline folder under the same id."""
    settings = wandb.Settings(
        mode="offline", console="off", silent=True, disable_git=True, disable_code=True, save_code=False,
        x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True,
        host="foedus", username="foedus", email="",
    )  # fmt: skip
    made = wandb.init(dir=str(folder), project=PROJECT, name=run, id=run, settings=settings)
    made.define_metric("*", step_metric="round")
    return _WandB(made)
