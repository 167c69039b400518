"""Bare PyTorch loops over the members, as anybody would write them.

bare.py THREADS             one process, one model, the members' adapters put in and taken out in turn
bare.py --workers WORKERS   single-threaded processes forked from one that loaded the model: the limit of a machine
"""

from __future__ import annotations

import argparse
import multiprocessing
from multiprocessing.connection import Connection, wait

import torch
from task import Learner, Mean, State, mark, mark_first_step, recipe, start_state, texts_of, write_state


def one_process(threads: int, *, fused: bool) -> State:
    torch.set_num_threads(threads)
    learner, state = Learner(fused=fused), start_state()
    members = recipe()["members"]
    for number in range(1, recipe()["rounds"] + 1):
        mark("round", number=number)
        mean = Mean(state, 1 / len(members))
        for member in members:
            learner.load(state)
            learner.train(member, number)
            mean.add(learner.read())
        state = mean.result()
    return state


def on_workers(count: int) -> State:
    torch.set_num_threads(1)
    learner, state = Learner(), start_state()
    members = recipe()["members"]
    for member in members:
        texts_of(member)
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    for _ in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, learner), daemon=True).start()
        pipes.append(ours)
    for number in range(1, recipe()["rounds"] + 1):
        mark("round", number=number)
        waiting, ends, sent = list(members), {}, {name: value.numpy() for name, value in state.items()}
        busy = {pipe: waiting.pop(0) for pipe in pipes if waiting}
        for pipe, member in busy.items():
            pipe.send((member, number, sent))
        while busy:
            for pipe in wait(list(busy)):
                ends[busy.pop(pipe)] = pipe.recv()  # type: ignore[index, union-attr]  # one of the pipes given
                if waiting:
                    busy[pipe] = waiting.pop(0)  # type: ignore[index]
                    pipe.send((busy[pipe], number, sent))  # type: ignore[index, union-attr]
        mean = Mean(state, 1 / len(members))
        for member in sorted(ends):  # in member order, whoever came first
            mean.add({name: torch.from_numpy(value) for name, value in ends[member].items()})
        state = mean.result()
    return state


def serve(pipe: Connection, learner: Learner) -> None:
    while True:
        member, number, state = pipe.recv()
        learner.load({name: torch.from_numpy(value) for name, value in state.items()})
        learner.train(member, number)
        pipe.send({name: value.numpy() for name, value in learner.read().items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int, nargs="?", default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--unfused", action="store_true", help="AdamW as PyTorch runs it where nothing is said")
    options = parser.parse_args()
    mark_first_step()
    end = on_workers(options.workers) if options.workers else one_process(options.threads, fused=not options.unfused)
    mark("end")
    write_state(end)
