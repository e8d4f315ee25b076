"""What a convolution learns: the experiment learns from few digits, and shows its first layer."""

import numpy as np


def test_the_small_net_learns_from_few_digits_and_shows_its_first_layer(small_run):
    run = small_run("images.digits_convnet")
    assert "convolutional:  11,978 parameters" in run.stdout
    result = run.result("digits_convnet")
    assert (result["data"], result["examples"]) == ("few", 600)
    networks = result["networks"]
    assert all(np.shape(net["test_accuracy"]) == (2, 8) for net in networks.values())
    last = {name: np.mean(net["test_accuracy"], axis=0)[-1] for name, net in networks.items()}
    assert last["convolutional"] > 0.8
    assert last["convolutional"] > last["dense, 15 neurons"]
    layer = {name: np.array(array) for name, array in result["layer"].items()}
    assert layer["digit"].shape == (28, 28)
    assert layer["start"].shape == layer["learnt"].shape == (8, 5, 5)
    assert np.abs(layer["learnt"] - layer["start"]).max() > 0.05
    # What is drawn below a kernel is what that kernel makes of the digit: z, and a pooled.
    windows = np.lib.stride_tricks.sliding_window_view(layer["digit"], (5, 5))
    for kernel, z, pooled in zip(layer["learnt"], layer["z"], layer["pooled"], strict=True):
        b = z - np.einsum("hwij,ij->hw", windows, kernel)
        np.testing.assert_allclose(b, b[0, 0], atol=0.02)
        largest = np.maximum(z, 0).reshape(12, 2, 12, 2).max(axis=(1, 3))
        np.testing.assert_allclose(pooled, largest, atol=1e-9)
