"""Print a script that completes commands and settings with Tab.

Usage: nnsweep completion bash|zsh

Examples:
  eval "$(nnsweep completion bash)"      in ~/.bashrc
  eval "$(nnsweep completion zsh)"       in ~/.zshrc

"""

import sys

from pipeline.cli.dispatch import command, names
from pipeline.components.errors import SettingError

BASH = """_nnsweep() {
    local word=${COMP_WORDS[COMP_CWORD]} words=""
    if [[ $COMP_CWORD -eq 1 && $word != *[=.]* ]]; then
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word"))
        [[ -n $word && ${#COMPREPLY[@]} -gt 0 ]] && return
    fi
    case ${COMP_WORDS[1]} in
@CASES@
    esac
    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    local settings=${COMP_LINE/#nnsweep sweep /nnsweep }
    settings=${settings/#nnsweep plan /nnsweep }
    compopt -o nospace 2> /dev/null
    COMPREPLY+=($(COMP_LINE=$settings COMP_POINT=${#settings} "${COMP_WORDS[0]}" -sc query=bash 2> /dev/null))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//[=:]/}
complete -o default -F _nnsweep nnsweep
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    if arguments not in (["bash"], ["zsh"]):
        raise SettingError("completion must be for bash or zsh: nnsweep completion bash")
    others = [name for name in names() if name not in ("sweep", "plan")]  # Hydra completes the settings of these
    cases = "\n".join(f'        {name}) words="{" ".join(_words(name))}" ;;' for name in others)
    script = BASH.replace("@COMMANDS@", " ".join(names())).replace("@CASES@", cases)
    sys.stdout.write((ZSH if arguments == ["zsh"] else "") + script)


def _words(name: str) -> list[str]:
    """The words and the settings, as name=, that the usage of a command lists."""
    usage = (command(name).__doc__ or "").partition("Usage:")[2].partition("\n\n")[0]
    tokens = [token.strip("[]") for token in usage.split()]
    words = [
        word for token in tokens for word in ([f"{token.partition('=')[0]}="] if "=" in token else token.split("|"))
    ]
    return [word for word in dict.fromkeys(words) if word[0].isalpha() and word not in ("nnsweep", name)]
