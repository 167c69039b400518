"""Bytes between a hub and its members' machines: Flower's SuperLink and SuperNodes, behind one TLS port of our own.

The wire knows no accord, no record and no model: it sees members' names, messages, deadlines. Whom to believe is
decided above it, by signatures on what travels. `address`, `pipe` and `tls` need the base install; the rest needs the
extra `flower`, whose package is imported only where it is used.

What it covers: only nodes with a registered key get messages, only the hub can submit a Flower run or register a node,
a node runs no code that arrives (its one app is the one installed here), and a dead, silent or late node costs the
others nothing but the deadline. What it does not cover: whoever can read the hub's or the member's own files (keys,
secrets) as that user acts as the hub or the member on the wire, and the hub reads every message; it cannot sign one.
"""
