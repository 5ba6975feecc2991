"""Print what makes a shell complete commands and settings with Tab.

Usage: nnsweep completion bash|zsh

Examples:
  eval "$(nnsweep completion bash)"      in ~/.bashrc
  eval "$(nnsweep completion zsh)"       in ~/.zshrc

"""

import sys

from pipeline.cli.dispatch import names
from pipeline.components.errors import SettingError

BASH = """_nnsweep() {
    local word=${COMP_WORDS[COMP_CWORD]} words="%s"
    if [[ $COMP_CWORD -eq 1 && $word != *[=.]* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        [[ -n $word && ${#COMPREPLY[@]} -gt 0 ]] && return
    fi
    case ${COMP_WORDS[1]} in
        runs) COMPREPLY=($(compgen -W "list show compare runs= run=" -- "$word")); return ;;
        track | ui | report) COMPREPLY=($(compgen -W "run= runs= uri= port=" -- "$word")); compopt -o nospace; return ;;
        completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")); return ;;
    esac
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
    sys.stdout.write((ZSH if arguments == ["zsh"] else "") + BASH % " ".join(names()))
