"""Completion in bash for words with ``@``, ``=`` and ``:``, at which bash breaks them.

Click takes the words as bash breaks them, and ``plant-a/asr@v1`` are three of them then. This class takes the line
itself, and the script gives bash only the part of an answer that follows the last break.
"""

import os

from click.shell_completion import BashComplete, split_arg_string

_LINE = "ELP_COMP_LINE"
_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^:=]/}
    local word=${line##*[[:space:]]}
    local rest=$word
    # bash replaces what follows = and :, and what begins with @
    if [[ -n $breaks ]]; then rest=${word##*[$breaks]}; fi
    if [[ $COMP_WORDBREAKS == *@* && $rest == *@* ]]; then rest=@${rest##*@}; fi

    response=$(env ELP_COMP_LINE="$line" %(complete_var)s=bash_complete "$1")

    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("${value#"${word%%"$rest"}"}") ;;
        esac
    done

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_END = "\0"
"""Marks the cursor: the word that ends with it is the one to complete, in quotes and after a blank, too."""


class BashLineComplete(BashComplete):
    """Completes the line up to the cursor."""

    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words after `elp`, and the beginning of the one to complete."""
        line = os.environ.get(_LINE)
        # a script that an older release printed
        if line is None:
            return super().get_completion_args()
        _, *words, incomplete = split_arg_string(line + _END)
        return words, incomplete.removesuffix(_END)
