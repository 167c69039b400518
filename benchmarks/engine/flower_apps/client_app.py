"""A member under Flower: it loads the model once a process, then trains what it is asked to."""

from __future__ import annotations

from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from task import Learner, mark_first_step, recipe

app = ClientApp()


@cache
def learner() -> Learner:
    torch.set_num_threads(1)
    mark_first_step()
    return Learner()


@app.train()
def train(message: Message, context: Context) -> Message:
    member = recipe()["members"][int(context.node_config["partition-id"])]
    mine = learner()
    mine.load(message.content["arrays"].to_torch_state_dict())
    seen = mine.train(member, int(message.content["config"]["server-round"]))
    given = {"arrays": ArrayRecord(mine.read()), "metrics": MetricRecord({"num-examples": seen})}
    return Message(content=RecordDict(given), reply_to=message)
