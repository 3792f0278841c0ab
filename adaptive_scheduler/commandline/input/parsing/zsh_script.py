"""The script that `--install-completion` writes for zsh."""

from __future__ import annotations

import contextlib

#: The first TAB of a shell loads the script of typer, which then only defines a function: nothing is offered.
_FIRST_TAB = """
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  %(complete_func)s "$@"
fi
"""


def complete_at_first_tab() -> None:
    """Let the script complete when it is loaded, too."""
    with contextlib.suppress(ImportError, KeyError):  # another typer, whose script may not need it
        from typer._completion_shared import _completion_scripts as scripts

        if "loadautofunc" not in scripts["zsh"]:
            scripts["zsh"] += _FIRST_TAB
