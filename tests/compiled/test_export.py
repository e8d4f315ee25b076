"""Networks as files of C: compiled strictly, run under the sanitizers, equal to the networks."""

from __future__ import annotations

import copy
import functools
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import NoTwin, builder
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    Masked,
    MaxPool2d,
    PositionalEncoding,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)
from backprop.optimizers import SGD, Adam, Momentum
from backprop.regularizers import L2
from tests.compiled.support import needs_compiler, relative

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
CHECKED = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FAST = ["-O2", "-ftree-vectorize", "-march=native"]


@functools.lru_cache
def sanitizers():
    """Return the options for the sanitizers; none where the compiler has none."""
    program = "int main(void) { return 0; }"
    command = [*builder.compiler(), *CHECKED, "-x", "c", "-", "-o", "/dev/null"]
    found = subprocess.run(command, input=program, text=True, capture_output=True, check=False)
    return CHECKED if found.returncode == 0 else ["-O1"]


def compiled(source: Path, *options: str) -> Path:
    """Return the program that the compiler makes of a file, without a single warning."""
    program = source.with_suffix(".out")
    command = [*builder.compiler(), *STRICT, *(options or sanitizers()), "-DBACKPROP_MAIN"]
    command += [str(source), "-o", str(program), "-lm"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, numbers: str, *arguments: str, status: int = 0) -> str:
    """Return what a program prints on stdout, or, if it is to fail, on stderr."""
    command = [str(program), *arguments]
    done = subprocess.run(command, input=numbers, text=True, capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    assert not (done.stderr and status == 0), done.stderr
    return done.stderr if status else done.stdout


def as_text(x: np.ndarray, y: np.ndarray | None = None) -> str:
    """Return examples, the batch last, as a program reads them."""
    lines = []
    for j in range(x.shape[-1]):
        numbers = x[..., j].ravel().tolist()
        numbers += [] if y is None else y[..., j].ravel().tolist()
        lines.append(" ".join(map(repr, numbers)))
    return "\n".join(lines) + "\n"


def as_outputs(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the outputs that a program has printed, the batch last."""
    rows = np.array([[float(number) for number in line.split()] for line in text.splitlines()])
    return np.moveaxis(rows.reshape(-1, *shape), 0, -1)


def inputs(network: Network, n: int = 7) -> np.ndarray:
    """Draw examples that a network takes."""
    rng = np.random.default_rng(0)
    shape = (*network.input_shape, n)
    if network.root.integer_input:
        masked = isinstance(network.layers[0], Masked)
        return rng.integers(-1 if masked else 0, 6, shape)
    x = rng.standard_normal(shape).astype(network.dtype)
    if isinstance(network.layers[0], Masked):
        x[-1] = rng.random(shape[1:]) < 0.6
    return x


def dense(n_in, n_out, sigma="tanh", seed=0, dtype="f4"):
    return Dense(n_in, n_out, sigma, dtype=dtype, rng=seed)


def normalised(dtype="f4"):
    layers = [
        dense(5, 6, "identity", dtype=dtype),
        BatchNorm(6, dtype=dtype),
        ReLU(),
        LayerNorm(6, dtype=dtype),
        Dropout(0.3),
        Reshape((3, 2)),
        GroupNorm(1, 3, dtype=dtype),
        GaussianNoise(0.1),
        Flatten(),
        Residual([RMSNorm(6, dtype=dtype), dense(6, 6, dtype=dtype, seed=1)]),
        dense(6, 3, "softmax", dtype=dtype, seed=2),
    ]
    network = Network(layers, "softmax_cross_entropy", rng=3)
    for seed in range(3):  # the running statistics are those of some data
        x = np.random.default_rng(seed).standard_normal((5, 9)).astype(dtype)
        network.forward(x, training=True)
    return network


def of_tokens():
    chain = [Embedding(6, 4, rng=1), PositionalEncoding(), TimeDistributed(dense(4, 3))]
    return Network([Masked([*chain, TimeStep(-1)]), dense(3, 2)], "quadratic", input_shape=(5,))


def tied():
    encoder = dense(6, 3)
    decoder = dense(3, 6, seed=1).tie("w", encoder, transposed=True)
    return Network([encoder, decoder], "quadratic")


def sequences():
    steps = [BatchNorm(3), TimeDistributed(dense(3, 4)), TimeStep(-1)]
    return Network([Masked(steps), dense(4, 2)], "quadratic", input_shape=(4, 5))


def images():
    layers = [Transpose((1, 2, 0)), Flatten(), dense(24, 4), dense(4, 4), dense(4, 2, "sigmoid")]
    return Network(layers, "cross_entropy", input_shape=(2, 3, 4))


def twice():
    norm = BatchNorm(3)
    return Network([dense(4, 3), norm, dense(3, 3, seed=1), norm, dense(3, 2)], "quadratic")


def convolutional():
    layers = [Conv2d(1, 3, 3, activation="relu", rng=0), MaxPool2d(2), Flatten()]
    return Network([*layers, dense(12, 4, "softmax")], "softmax_cross_entropy", (1, 6, 6))


def recurrent():
    layers = [LSTM(3, 4, rng=0), TimeStep(-1), dense(4, 2, "sigmoid")]
    return Network(layers, "cross_entropy", input_shape=(3, 5))


def attentive():
    layers = [TransformerBlock(4, 2, 6, causal=True, rng=0), GlobalAvgPool(), dense(4, 2)]
    return Network(layers, "quadratic", input_shape=(4, 5))


def two_ways(dtype="f4"):
    x, other = Input("x", (3,)), Input("other", (2, 2))
    both = concatenate(apply(dense(3, 4, dtype=dtype), x), apply(Flatten(), other))
    classes = apply(dense(8, 3, "softmax", dtype=dtype), both)
    cost = WeightedCosts(["softmax_cross_entropy", "squared_error"], [0.5, 1.5])
    return Network(Graph([classes, apply(dense(8, 2, dtype=dtype, seed=1), both)]), cost)


NETWORKS = {
    "book": lambda: Network.from_sizes([20, 7, 3], rng=0),
    "float64": lambda: Network.from_sizes([20, 7, 3], rng=0, dtype="f8"),
    "normalised": normalised,
    "tokens": of_tokens,
    "tied": tied,
    "sequences": sequences,
    "images": images,
    "twice": twice,
    "convolutional": convolutional,
    "recurrent": recurrent,
    "attentive": attentive,
    "nothing-to-learn": lambda: Network([ReLU()], "quadratic", input_shape=(3,)),
}


@needs_compiler
@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_prints_what_the_network_predicts(name, tmp_path):
    network = NETWORKS[name]()
    x = inputs(network)
    program = compiled(network.to_c(tmp_path / "net.c"))
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    tolerance = 1e-13 if network.dtype == np.float64 else 1e-5
    assert relative(outputs, network.predict(x, compiled=False)) < tolerance
    assert run(program, "") == ""


def in_one(arrays, **also):
    """Return several arrays as one of all their numbers, the batch last."""
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays], **also)


@needs_compiler
def test_several_inputs_and_outputs(tmp_path):
    network, rng = two_ways("f8"), np.random.default_rng(0)
    x = rng.standard_normal((3, 12)), rng.standard_normal((2, 2, 12))
    y = rng.integers(0, 3, 12), rng.standard_normal((2, 12))
    path = network.to_c(tmp_path / "net.c", training=True, batch_size=4)
    assert (
        "int net_train(const double *x0, const double *x1, const int32_t *y0," in path.read_text()
    )
    program = compiled(path)
    outputs = in_one(network.predict(x))
    assert relative(as_outputs(run(program, as_text(in_one(x))), (5,)), outputs) < 1e-13
    told = run(program, as_text(in_one(x), in_one([y[0][None], y[1]])), "0.3")
    expected = []
    for first in range(0, 12, 4):
        some, targets = ([one[..., first : first + 4] for one in all_] for all_ in (x, y))
        expected.append(in_one(network.predict(tuple(some))))
        network.forward(tuple(some), training=True)
        network.backward(tuple(targets))
        network.theta -= 0.3 * network.nabla
    assert relative(as_outputs(told, (5,)), np.concatenate(expected, axis=-1)) < 1e-12


@needs_compiler
@pytest.mark.parametrize("name", ["book", "normalised", "convolutional", "recurrent", "attentive"])
def test_no_warning_at_full_speed_and_the_same_numbers(name, tmp_path):
    network = NETWORKS[name]()
    program = compiled(network.to_c(tmp_path / "net.c", training=True), *FAST)
    x = inputs(network)
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    assert relative(outputs, network.predict(x, compiled=False)) < 1e-5


def test_the_weights_are_written_to_the_last_bit(tmp_path):
    for dtype in ("f4", "f8"):
        network = Network.from_sizes([30, 20, 10], rng=0, dtype=dtype)
        special = [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, np.finfo(dtype).max, 1e-310, 1e-45]
        network.theta[: len(special)] = special
        text = network.to_c(tmp_path / "net.c").read_text()
        body = re.search(r"static const real theta\[\d+\] = \{(.*?)\};", text, re.DOTALL)
        numbers = [number.strip().removesuffix("f") for number in body[1].split(",")]
        words = {"NAN": np.nan, "INFINITY": np.inf, "-INFINITY": -np.inf}
        found = [words[n] if n in words else float.fromhex(n) for n in numbers]
        np.testing.assert_array_equal(np.array(found, dtype), network.theta, strict=True)
        signs = np.signbit(np.array(found, dtype)) == np.signbit(network.theta)
        assert (signs | np.isnan(network.theta)).all()


@needs_compiler
@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ("1 2 3 4\n1 2", "number 3 of example 2 is not there"),
        ("1 2 3 x", "number 4 of example 1 is no number"),
        ("1 2,3,4", "number 3 of example 1 is no number"),
    ],
)
def test_what_is_no_example_is_refused(numbers, what, tmp_path):
    program = compiled(Network.from_sizes([4, 2], rng=0).to_c(tmp_path / "net.c"))
    assert run(program, numbers, status=2) == what + "\n"


@needs_compiler
@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ("0 1 2 6 0", "number 4 of example 1 is out of range"),
        ("0 1 2 3 4 -2", "number 1 of example 2 is out of range"),
        ("0 1 2 99999999999999999999 4", "number 4 of example 1 is out of range"),
        ("0 1.5", "number 2 of example 1 is no integer"),
        ("0 x", "number 2 of example 1 is no integer"),
        ("0 nan", "number 2 of example 1 is no integer"),
        ("0 1 2 3 4 0", "number 2 of example 2 is not there"),
    ],
)
def test_what_is_no_token_is_refused(numbers, what, tmp_path):
    program = compiled(of_tokens().to_c(tmp_path / "net.c"), "-O1")
    assert run(program, numbers, status=2) == what + "\n"


# -- training ----------------------------------------------------------------------------------


def learnt(network, x, y, rule, size, **settings):
    """Return what a network predicts of every example before it learns from it, step by step."""
    outputs = []
    penalty = settings.get("regularizer")
    for first in range(0, x.shape[-1], size):
        some = slice(first, first + size)
        outputs.append(network.predict(x[..., some], compiled=False))
        if len(range(*some.indices(x.shape[-1]))) == size:
            network.forward(x[..., some], training=True)
            network.backward(y[..., some])
            for part, factor in network.root.weight_parts() if penalty else ():
                scaled = penalty.scaled(factor)
                scaled.add_gradient(network.theta[part], network.nabla[part])
            rule.step(network.theta, network.nabla)
    return np.concatenate(outputs, axis=-1)


def undisturbed():
    network = normalised("f8")
    layers = [one for one in network.layers if not isinstance(one, (Dropout, GaussianNoise))]
    return Network(copy.deepcopy(layers), "softmax_cross_entropy")


@needs_compiler
@pytest.mark.parametrize("rule", [SGD(0.2), Momentum(0.1), Adam(0.01)], ids=str)
def test_it_learns_as_the_network_does(rule, tmp_path):
    network, rng = undisturbed(), np.random.default_rng(4)
    x, y = rng.standard_normal((5, 30)), rng.integers(0, 3, 30)
    learnt(network, x[:, :8], y[:8], rule, 4)  # the file goes on from there
    settings = {"regularizer": L2(0.01)}
    path = network.to_c(tmp_path / "net.c", True, 4, rule, **settings)
    text = run(compiled(path), as_text(x, y), repr(rule.eta))
    expected = learnt(network, x, y, rule, 4, **settings)
    assert relative(as_outputs(text, (3,)), expected) < 1e-10


@needs_compiler
def test_targets_may_be_numbers(tmp_path):
    network, rng = Network.from_sizes([4, 6, 2], rng=0, dtype="f8"), np.random.default_rng(4)
    x, y = rng.standard_normal((4, 24)), rng.random((2, 24))
    path = network.to_c(tmp_path / "net.c", training=True, batch_size=6)
    text = run(compiled(path), as_text(x, y), "0.7")
    assert relative(as_outputs(text, (2,)), learnt(network, x, y, SGD(0.7), 6)) < 1e-12
    assert "is not there" in run(path.with_suffix(".out"), "1 2 3 4 0.5", "0.7", status=2)


@needs_compiler
def test_a_cost_that_is_no_number_ends_it(tmp_path):
    network = Network.from_sizes([2, 3, 1], rng=0)
    program = compiled(network.to_c(tmp_path / "net.c", training=True, batch_size=1))
    told = run(program, "1 2 0.5\n1 nan 0.5", "0.1", status=1)
    assert told == "the cost is no finite number at example 2\n"
    for wrong in (["much"], ["nan"], ["0.1", "0.2"], [""]):
        assert run(program, "1 2 0.5", *wrong, status=2).endswith("the learning rate\n")


@needs_compiler
def test_squares_that_do_not_fit_end_it(tmp_path):
    network = Network([dense(1, 1, "identity")], "quadratic")
    path = network.to_c(tmp_path / "net.c", True, 1, Adam(0.1))
    told = run(compiled(path), "1e30 0", "0.1", status=1)
    assert told == "squares of gradients are no finite number at example 1\n"


@needs_compiler
def test_what_is_drawn_is_random(tmp_path):
    rng = np.random.default_rng(0)
    layers = [Dropout(0.25), GaussianNoise(1.0), dense(6, 2, "identity")]
    network = Network(layers, "quadratic", input_shape=(6,))
    network.theta[...] = 0
    source = network.to_c(tmp_path / "net.c", training=True, batch_size=50)
    x, y = np.ones((6, 5000), "f4"), rng.standard_normal((2, 5000)).astype("f4")
    first = run(compiled(source), as_text(x, y), "0.01")
    assert first == run(source.with_suffix(".out"), as_text(x, y), "0.01")
    assert np.abs(as_outputs(first, (2,))).max() < 1  # it has learnt that y is 0 on average
    test = source.with_name("drawn.c")
    test.write_text(
        '#include "net.c"\n#include <stdio.h>\n'
        "int main(void)\n{\n    static real u[100000], n[100000];\n    uint64_t state = 7;\n"
        "    draw_uniform(100000, &state, u);\n    draw_normal(100000, &state, n);\n"
        '    for (int i = 0; i < 100000; i++)\n        printf("%.9g %.9g\\n", u[i], n[i]);\n'
        "    return 0;\n}\n"
    )
    program = source.with_name("drawn.out")
    command = [*builder.compiler(), "-O1", str(test), "-o", str(program), "-lm"]
    subprocess.run(command, check=True)
    uniform, normal = as_outputs(run(program, ""), (2,))
    assert 0 <= uniform.min() < 1e-3
    assert 0.999 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5e-3
    assert abs((uniform >= 0.25).mean() - 0.75) < 5e-3
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs((normal**4).mean() - 3) < 0.2


@needs_compiler
def test_two_networks_in_one_program(tmp_path):
    one, other = Network.from_sizes([3, 2], rng=0), Network.from_sizes([2, 4], rng=1)
    first, second = one.to_c(tmp_path / "first.c"), other.to_c(tmp_path / "2nd one.c")
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdio.h>\n"
        "void first_predict(const float *x, float *outputs);\n"
        "void net_2nd_one_predict(const float *x, float *outputs);\n"
        "int main(void)\n{\n    const float x[] = {0.5f, -1.0f, 2.0f};\n"
        "    float a[2], b[4];\n    first_predict(x, a);\n    net_2nd_one_predict(a, b);\n"
        '    printf("%.9g %.9g %.9g %.9g\\n", b[0], b[1], b[2], b[3]);\n    return 0;\n}\n'
    )
    program = tmp_path / "both"
    command = [*builder.compiler(), *STRICT, str(main), str(first), str(second)]
    subprocess.run([*command, "-o", str(program), "-lm"], check=True)
    x = np.array([[0.5], [-1], [2]], np.float32)
    expected = other.predict(one.predict(x))
    assert relative(as_outputs(run(program, ""), (4,)), expected) < 1e-6


# -- what it says, and what it refuses ---------------------------------------------------------


def test_the_file_says_how_it_is_used(tmp_path):
    text = normalised().to_c(tmp_path / "digits.c", True, 8, Adam(0.1)).read_text()
    head = text[: text.index("*/")]
    for line in (
        "    void digits_predict(const float *x, float *outputs);",
        "    int digits_train(const float *x, const int32_t *y, double eta);",
        "    void digits_seed(uint64_t seed);",
        "of Adam(eta=0.1), on 8 examples",
    ):
        assert line in head
    assert max(map(len, head.splitlines())) <= 100
    assert "malloc" not in text
    assert set(re.findall(r"^#include (.*)$", text, re.MULTILINE)) <= {
        "<float.h>", "<math.h>", "<stdint.h>", "<stdio.h>", "<stdlib.h>", "<string.h>"
    }  # fmt: skip
    assert text.isascii()


def test_what_cannot_be_exported(tmp_path):
    class Double(Layer):
        def output(self, a_prev, mode):
            return 2 * a_prev

        def downstream(self, delta):
            return 2 * delta

    path = tmp_path / "net.c"
    network = Network([dense(3, 2), Double()], "quadratic")
    with pytest.raises(NoTwin, match="Double"):
        network.to_c(path)
    with pytest.raises(ValueError, match="a network without a cost cannot be trained"):
        Network([dense(3, 2)], None).to_c(path, training=True)
    network = Network([dense(3, 2)], "quadratic")
    for settings in ({"optimizer": SGD(1.0)}, {"regularizer": L2(0.1)}):
        with pytest.raises(ValueError, match="needs training=True"):
            network.to_c(path, **settings)
    with pytest.raises(TypeError, match="to_c: training must be True or False"):
        network.to_c(path, training="yes")
    with pytest.raises(NoTwin, match="one shape"):
        Network([TimeDistributed(dense(3, 2))], None, input_shape=(3, None)).to_c(path)
    assert not path.exists()


def test_an_input_shape_is_given_where_there_are_several(tmp_path):
    network = Network([TimeDistributed(dense(3, 2))], None, input_shape=(3, None))
    text = network.to_c(tmp_path / "net.c", input_shape=(3, 5)).read_text()
    assert "gives the 10 outputs of one example, 15 numbers" in text
