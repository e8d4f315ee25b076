"""``backprop completion``: a script by which the shell completes commands and options."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command."""
    completion = commands.add_parser(
        "completion",
        help='completion for the shell: eval "$(backprop completion bash)"',
    )
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(run=lambda arguments: _print(arguments.shell, commands))


def _print(shell: str, commands: Any) -> int:
    cases = [
        f"    {name}) words='{' '.join(_words(parser))}' ;;"
        for name, parser in commands.choices.items()
    ]
    lines = [
        *(["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []),
        "_backprop() {",
        "  local words=''",
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f"    words='{' '.join(commands.choices)}'",
        '  else case "${COMP_WORDS[1]}" in',
        *cases,
        "  esac; fi",
        '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
        "}",
        "complete -o default -F _backprop backprop",
    ]
    print("\n".join(lines))
    return 0


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options of a command, and the words that it may be given."""
    words: list[str] = []
    for action in parser._actions:
        words += [option for option in action.option_strings if option.startswith("--")]
        words += [str(choice) for choice in action.choices or ()]
    return words
