"""A member's machine: how it joins a hub, and the process that answers there, next to the data.

    work      the member's parts, card and node
    link      what is sent to the hub and got from it
    join      from an invitation to a node that can be asked
    check     what would work, before anything is sent
    serve     the process: base model in memory, ledger kept fresh, Flower's SuperNode as a child

Nothing that arrives is believed: the ledger is folded here, asks are checked against the accord that this member
signed, and private keys and rows stay on this machine.
"""
