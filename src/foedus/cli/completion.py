"""`foedus completion SHELL`: what a shell reads to complete commands, options and files."""

from __future__ import annotations

from typing import Annotated

import typer

from foedus.cli.shell import shell

__all__ = ["SCRIPTS", "completion"]

SCRIPTS = {
    "bash": """\
_foedus() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _FOEDUS_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -F _foedus foedus
""",
    "zsh": """\
#compdef foedus
_foedus() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _FOEDUS_COMPLETE=complete_zsh foedus 2>/dev/null)"
    (( compstate[nmatches] )) || _files
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _foedus foedus
""",
    "fish": """\
function _foedus_completion
    _FOEDUS_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) \\
        foedus 2>/dev/null
end
complete --command foedus --arguments "(_foedus_completion)"
""",
}
"""The scripts. They ask `foedus` itself at each Tab, so that they fit every version of it."""


def completion(
    name: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what makes a shell complete `foedus`: eval "$(foedus completion bash)"."""
    from foedus.core.errors import CallerError

    if name not in SCRIPTS:
        raise CallerError("cli.no-such-shell", got=name, known=", ".join(SCRIPTS))
    shell().line(SCRIPTS[name].rstrip("\n"))
    shell().result("completion", {"shell": name, "script": SCRIPTS[name]})
