"""The coordinator's resident process: it takes members' acts, gives out the ledger, carries runs over many machines.

    refusals      what was turned away, counted, on its way into the ledger
    reception     /foedus/v1/…: parcels of signed documents in, the ledger out
    nodes         by which transport key each member's node connects
    serve         the process: certificates, Flower's SuperLink behind one port, the run that is open
    marker        which run it carries, for when it is killed
    control       how `foedus run` speaks with it, over a Unix socket

The hub orders and carries; what counts was signed by its author, and is verified here and again by every member.
"""
