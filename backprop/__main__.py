"""``python -m backprop`` is the command ``backprop``."""

from backprop.cli import entry

if __name__ == "__main__":
    entry()
