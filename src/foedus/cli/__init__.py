"""The command line: arguments and printing, no decisions.

A module a group of commands. At their top these modules import typer and `cli.shell` only; a command imports what it
needs when it runs, so that `foedus --help` loads neither torch, numpy nor pydantic.
"""
