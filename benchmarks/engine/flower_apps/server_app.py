"""The coordinator under Flower: FedAvg as Flower ships it, with no evaluation."""

from __future__ import annotations

from typing import Any

import torch
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from task import mark, recipe, start_state, write_state

app = ServerApp()


class Marked(FedAvg):
    """FedAvg that says when a round begins."""

    def configure_train(self, server_round: int, *rest: Any) -> Any:
        """As FedAvg has it."""
        mark("round", number=server_round)
        return super().configure_train(server_round, *rest)


@app.main()
def main(grid: Grid, _: Context) -> None:
    torch.set_num_threads(1)
    count = len(recipe()["members"])
    strategy = Marked(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=count, min_available_nodes=count)
    result = strategy.start(grid=grid, initial_arrays=ArrayRecord(start_state()), num_rounds=recipe()["rounds"])
    mark("end")
    write_state(result.arrays.to_torch_state_dict())
