"""``backprop completion``: a script by which the shell completes commands and options."""

from __future__ import annotations

import argparse
from typing import Any

from backprop.application.run_config import NAMED
from backprop.core.config import known_names


def add(commands: Any) -> None:
    """Add the command."""
    completion = commands.add_parser(
        "completion",
        help='completion for the shell: eval "$(backprop completion bash)"',
    )
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(run=lambda arguments: _print(arguments.shell, commands))


def _print(shell: str, commands: Any) -> int:
    cases = [case for name, parser in commands.choices.items() for case in _cases(name, parser)]
    lines = [
        *(["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []),
        "_backprop() {",
        '  local words=\'\' typed="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '  case "$typed" in -*) before=- ;; esac',
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f"    words='{' '.join(commands.choices)}'",
        '  else case "${COMP_WORDS[1]} $before" in',
        *cases,
        "  esac; fi",
        '  COMPREPLY=($(compgen -W "$words" -- "$typed"))',
        "}",
        "complete -o default -F _backprop backprop",  # of what has no words here: files
    ]
    print("\n".join(lines))
    return 0


def _cases(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return what may stand behind each option of a command, as an option, and anywhere else."""
    cases, options, words = [], [], []
    for action in parser._actions:
        names = known_names(NAMED[action.dest]) if action.dest in NAMED else ()
        choices = [str(choice) for choice in action.choices or names]
        long = [option for option in action.option_strings if option.startswith("--")]
        options += long
        if not long:
            words += choices
        elif action.nargs != 0:  # a value follows, or a file
            after = "|".join(f"'{name} {option}'" for option in long)
            cases.append(f"    {after}) words='{' '.join(choices)}' ;;")
    cases.append(f"    '{name} -') words='{' '.join(options)}' ;;")
    cases.append(f"    '{name} '*) words='{' '.join(words)}' ;;")
    return cases
