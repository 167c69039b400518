"""Flower's simulation (Ray): each member's work on an actor of one core. Run with the Python that has flwr[simulation].

`run_simulation` starts sooner than `flwr run` with its managed SuperLink does, and is what Flower is measured by.
"""

from __future__ import annotations

from flower_apps.client_app import app as client
from flower_apps.server_app import app as server
from flwr.simulation import run_simulation
from task import recipe

run_simulation(
    server_app=server,
    client_app=client,
    num_supernodes=len(recipe()["members"]),
    backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
)
