"""``python -m backprop`` is the command ``backprop``."""

from backprop.application.cli import entry

if __name__ == "__main__":
    entry()
