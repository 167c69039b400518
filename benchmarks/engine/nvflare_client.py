"""A member under NVFLARE (Client API): the script that its simulator runs for each site."""

from __future__ import annotations

import nvflare.client as flare
import torch
from task import Learner, mark, mark_first_step, recipe

torch.set_num_threads(1)
mark_first_step()
learner = Learner()
flare.init()
member = recipe()["members"][int(flare.get_site_name().rpartition("-")[2]) - 1]
while flare.is_running():
    model = flare.receive()
    if model is None:
        break
    number = int(model.current_round) + 1
    mark("round", number=number)  # the first of a round counts
    learner.load({name.replace("/", "."): torch.as_tensor(value) for name, value in model.params.items()})
    learner.train(member, number)
    params = {name.replace(".", "/"): value for name, value in learner.read().items()}
    flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 1}))
