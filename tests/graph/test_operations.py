"""The elementary operations: values, gradients by both numerical methods, dtypes, edges, errors."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.core.config import from_config
from backprop.core.shapes import as_tuple
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph.elementwise import Add, Elementwise, Exp
from backprop.graph.operations import Concatenate, MatMul, Operation, Slice, Sum, Variable
from backprop.layers import ShapeError
from backprop.layers.mode import INFERENCE
from tests.graph.operation_cases import CASES, argument, batches


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients(case):
    """Against central differences to 1e-7, against the complex step to 1e-12."""
    op = case.operation
    for sizes in batches(case):
        arrays = case.arrays(sizes)
        a = op.forward(argument(arrays), training=True)
        upstream = np.random.default_rng(1).standard_normal(a.shape)
        downstream = op.backward(upstream)
        downstream = downstream if len(arrays) > 1 else (downstream,)
        for i, u in enumerate(arrays):
            if isinstance(u, float):
                assert downstream[i] is None
                continue
            assert downstream[i].shape == u.shape

            def output(v, i=i, arrays=arrays, upstream=upstream):
                given = [v if j == i else w for j, w in enumerate(arrays)]
                return (upstream * op.run(argument(given), INFERENCE)).sum()

            assert relative_error(central_difference(output, u), downstream[i]) <= 1e-7
            assert relative_error(complex_step(output, u.astype(complex)), downstream[i]) <= 1e-12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dtype_is_kept_and_inputs_are_left_alone(case):
    op = case.operation
    for dtype in (np.float32, np.float64, np.complex128):
        arrays = [u if isinstance(u, float) else u.astype(dtype)
                  for u in case.arrays(batches(case)[1])]  # fmt: skip
        before = [np.copy(u) for u in arrays]
        a = op.forward(argument(arrays), training=True)
        assert a.dtype == dtype
        assert a.shape[:-1] == op.output_shape(
            argument([None if isinstance(u, float) else u.shape[:-1] for u in arrays])
        )
        downstream = op.backward(a.copy())
        for gradient in as_tuple(downstream):
            assert gradient is None or gradient.dtype == dtype
        for u, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(u, copy)
        assert op.backward(a.copy(), input_gradient=False) is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_keeps_nothing(case):
    op = type(case.operation)(**_arguments(case.operation))
    op.forward(argument(case.arrays(batches(case)[1])))
    assert op.a is None
    assert op.a_prev is None
    with pytest.raises(RuntimeError, match="needs a forward"):
        op.backward(np.ones((4, 5)))


def _arguments(op):
    return {k: v for k, v in op.config().items() if k != "class"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_config(case):
    again = from_config(case.operation.config())
    assert type(again) is type(case.operation)
    assert again.config() == case.operation.config()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_elementwise_operations_have_local_derivatives(case):
    op, arrays = case.operation, case.arrays(batches(case)[1])
    local = op.local(op.forward(argument(arrays)), *arrays)
    assert len(local) == (op.n_inputs if isinstance(op, Elementwise) else 0)


def test_every_operation_has_a_case():
    def subclasses(cls):
        for sub in cls.__subclasses__():
            yield from (sub, *subclasses(sub))

    tested = {type(case.operation) for case in CASES}
    assert {c for c in subclasses(Operation) if "tests" not in c.__module__} == tested | {
        Variable,
        Elementwise,
    }


def test_values():
    grid = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(Sum().forward(grid), [[30, 36]])
    np.testing.assert_array_equal(Slice(1, 2).forward(grid), grid[1:2])
    np.testing.assert_array_equal(Concatenate().forward((grid, grid[:1])), grid[[0, 1, 0]])
    both = Concatenate().forward((grid, np.array([[[7.0]] * 3])))
    np.testing.assert_array_equal(both, [*grid, np.full((3, 2), 7)])  # one is for all examples


def test_matmul_is_the_matrix_product_of_every_example():
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((2, 3, 5)), rng.standard_normal((3, 4, 5))
    one = rng.standard_normal((2, 3, 1))
    column = rng.standard_normal((3, 5))
    a, shared = MatMul().forward((w, v)), MatMul().forward((one, v))
    for i in range(5):
        np.testing.assert_allclose(a[..., i], w[..., i] @ v[..., i], rtol=1e-13)
        np.testing.assert_allclose(shared[..., i], one[..., 0] @ v[..., i], rtol=1e-13)
    np.testing.assert_array_equal(MatMul().forward((one, column)), one[..., 0] @ column)


def test_variable():
    w = Variable((2, 3), rng=0, dtype="float64")
    a = w.forward((), training=True)
    assert a.shape == (2, 3, 1)
    np.testing.assert_array_equal(a[..., 0], w.w)
    before = a.copy()
    w.w += 1
    np.testing.assert_array_equal(w.a, before)  # what was handed out stays
    w.forward((), training=True)
    assert w.backward(2 * before) == ()
    np.testing.assert_array_equal(w.nabla_w, 2 * before[..., 0])
    assert w.weight_parts() == [(slice(0, 6), 1.0)]
    assert Variable((2,), regularized=False).weight_parts() == []
    assert repr(w) == "Variable(2 x 3)"
    assert Variable((2,), "zeros").w.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Variable(()), r"^Variable: shape must not be empty"),
        (lambda: Variable((2, 0)), r"^Variable: shape must be at least 1, got 0"),
        (lambda: Slice(2, 2), r"^Slice: expected 0 <= start < stop, got 2 and 2"),
        (lambda: Slice(-1, 2), r"^Slice: start must be at least 0, got -1"),
        (lambda: Slice(0, 0), r"^Slice: stop must be at least 1, got 0"),
        (lambda: Concatenate(1), r"^Concatenate: n_inputs must be at least 2, got 1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


X = np.ones((3, 5))


@pytest.mark.parametrize(
    ("op", "inputs", "error", "message"),
    [
        (Add(), X, TypeError, r"^Add\(\): expected a tuple of 2 inputs, got "),
        (Add(), (X,), TypeError, r"^Add\(\): expected a tuple of 2 inputs"),
        (Add(), (X, [1.0]), TypeError, r"^Add\(\): the input must be a numpy array, got list"),
        (Add(), (X, X.astype("f4")), TypeError, r"must be float64, got float32"),
        (Exp(), X.astype(int), TypeError, r"^Exp\(\): the input must be floating, got int64"),
        (Exp(), np.ones(3), ShapeError, r"^Exp\(\): the input must be n x B .*, got \(3,\)"),
        (Exp(), np.ones((3, 0)), ShapeError, r"must be n x B and not empty, got \(3, 0\)"),
        (Add(), (X, X[:2]), ShapeError, r"inputs of one shape, got \(3,\) and \(2,\)"),
        (Add(), (X, X[:, :2]), ShapeError, r"batch is the last axis .*\(3, 5\) and \(3, 2\)"),
        (MatMul(), (X, X), ShapeError, r"expected shapes \(m, n\) and \(n,\) or \(n, k\), got"),
        (Slice(1, 4), X, ShapeError, r"expected at least 4 features, got \(3, B\)"),
        (
            Concatenate(3),
            (X, X),
            TypeError,
            r"Concatenate\(n_inputs=3\): expected a tuple of 3",
        ),
        (
            Concatenate(),
            (X, X[:, None]),
            ShapeError,
            r"that differ in the first axis only",
        ),
    ],
)
def test_bad_input(op, inputs, error, message):
    with pytest.raises(error, match=message):
        op.forward(inputs)
