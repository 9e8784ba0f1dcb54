"""Completion of keys and values in a shell."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Literal

from experiments.config.groups import group_files
from experiments.config.schema import known_hints, known_keys, known_values

Shell = Literal["bash", "zsh", "fish"]
OPTIONS = ("--help", "--cfg", "--completion")

# Bash splits words at an equals sign, so that only what follows it is replaced.
_BASH = """\
_byoe() {
    local typed=${COMP_LINE:0:COMP_POINT} word
    typed=${typed##* }
    COMPREPLY=()
    while read -r word; do
        COMPREPLY+=("${word#"${typed%"${typed##*=}"}"}")
    done < <(compgen -W '{words}' -- "$typed")
    if [[ ${#COMPREPLY[@]} == 0 && $typed == *=* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "${typed#*=}")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2> /dev/null; fi
}
complete -F _byoe byoe
"""
_ZSH = """\
#compdef byoe
_byoe() {
    local -a known=({words})
    compadd -S '' -- ${(M)known:#*=}
    compadd -- ${known:#*=} && return
    if [[ $PREFIX == *=* ]]; then compset -P '*='; _files; fi
}
compdef _byoe byoe
"""
_FISH = "complete -c byoe -a '{words}'\n"
_SCRIPTS: dict[Shell, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
SHELLS = tuple(_SCRIPTS)


def completion(shell: Shell, actions: Collection[str]) -> str:
    """Return a script that completes the arguments of ``byoe`` in a shell.

    Args:
        shell: The shell that reads the script.
        actions: The actions by name.
    """
    words = _words(actions)
    return _SCRIPTS[shell].replace("{words}", " ".join(map(shlex.quote, words) if shell == "zsh" else words))


def _words(actions: Collection[str]) -> list[str]:
    """Return what can be typed: keys with an equals sign, and keys with a value where the values are known."""
    hints = known_hints()
    values = {"action": list(actions), **group_files()}
    values |= {key: ["true", "false"] for key, hint in hints.items() if hint.removesuffix(" | None") == "bool"}
    for key, known in known_values().items():
        values[key] = [f"[{value}]" if hints[key].startswith("list") else str(value) for value in known]
    keys = [f"{key}=" for key in dict.fromkeys([*known_keys(), *values]) if key not in values]
    return [*actions, *OPTIONS, *keys, *(f"{key}={value}" for key, known in values.items() for value in known)]
