"""NVFLARE's simulator with its FedAvg recipe. Run with the Python that has nvflare.

nvflare_simulation.py WORKSPACE THREADS      so many members work at once
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv
from nvflare_model import Exchanged
from task import mark, recipe, write_state

if __name__ == "__main__":
    work, threads = Path(sys.argv[1]), int(sys.argv[2])
    count = len(recipe()["members"])
    job = FedAvgRecipe(
        name="peers", model=Exchanged(), min_clients=count, num_rounds=recipe()["rounds"],
        train_script=str(Path(__file__).with_name("nvflare_client.py")),
    )  # fmt: skip
    run = job.execute(SimEnv(num_clients=count, num_threads=threads, workspace_root=str(work)))
    print(run.get_status(), run.get_result())
    mark("end")
    (saved,) = sorted(work.rglob("FL_global_model.pt"))
    held = torch.load(saved, map_location="cpu", weights_only=False)
    held = held.get("model", held)
    write_state({name.replace("/", "."): torch.as_tensor(value) for name, value in held.items()})
