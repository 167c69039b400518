"""MLflow: a run of the experiment `foedus` in FOLDER/mlflow.db, SQLite. Digests and names are parameters and tags.

`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` displays it.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from foedus.track.log import Entry

__all__ = ["EXPERIMENT", "open_logger"]

EXPERIMENT = "foedus"
_PARAMETERS = ("accord", "engine", "members", "run", "start")
"""Facts that never change in a run. MLflow refuses a parameter that does; the others are tags."""


class _MLflow:
    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run = client, run_id

    def log(self, entry: Entry) -> None:
        moment = int(time.time() * 1000)
        metrics = [Metric(name, value, moment, entry.round) for name, value in entry.values.items()]
        params = [Param(name, value) for name, value in entry.facts.items() if name in _PARAMETERS]
        tags = [RunTag(name, value) for name, value in entry.facts.items() if name not in _PARAMETERS]
        self._client.log_batch(self._run, metrics=metrics, params=params, tags=tags)

    def close(self) -> None:
        self._client.set_terminated(self._run)


def open_logger(folder: Path, run: str) -> _MLflow:
    """The run of this name, begun or gone on with."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    named = (
        experiment.experiment_id
        if experiment
        else client.create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    )
    found = client.search_runs([named], filter_string=f"attributes.run_name = '{run}'", max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return _MLflow(client, found[0].info.run_id)
    return _MLflow(client, client.create_run(named, run_name=run, tags={"mlflow.user": "foedus"}).info.run_id)
