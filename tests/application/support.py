"""The command as the tests call it."""

from backprop.application import cli

PICTURES = {"cost", "accuracy", "weights", "misclassified", "confusion", "activations", "deltas"}


def train(folder, data, *options, sizes="42,8,4"):
    """Train for three epochs, unless the options say otherwise, and return the exit status."""
    base = ["train", "--data", str(data), "--sizes", sizes, "--out", str(folder)]
    return cli.main([*base, "--epochs", "3", "--eta", "0.5", *options])


def fails(capsys, *arguments, status=2):
    """Run the command, and return the one line it fails with."""
    try:
        got = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:  # argparse
        got = exit_.code
    captured = capsys.readouterr()
    assert got == status
    assert captured.err.count("\n") == 1
    assert "error: " in captured.err
    assert "Traceback" not in captured.err
    return captured.err
