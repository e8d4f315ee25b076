"""The elementary operations: values, gradients by both numerical methods, dtypes, edges, errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from backprop.core.config import from_config
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph.operations import (
    Add,
    Cos,
    Divide,
    Elementwise,
    Exp,
    Log,
    MatMul,
    Multiply,
    Operation,
    Power,
    Sin,
    Slice,
    Sqrt,
    Subtract,
    Sum,
    Variable,
)
from backprop.layers import ShapeError


@dataclass(frozen=True)
class Case:
    """An operation, the shapes of its inputs (a number: a constant), and whether they are > 0."""

    operation: Operation
    inputs: tuple
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.operation}-{'-'.join(map(str, self.inputs))}"

    def arrays(self, batches, seed=0) -> list:
        """Return float64 inputs with these batch sizes, at least 0.1 away from 0."""
        rng = np.random.default_rng(seed)
        found = []
        for shape, batch in zip(self.inputs, batches, strict=True):
            if isinstance(shape, float):
                found.append(shape)
                continue
            u = rng.uniform(0.1, 2, (*shape, batch))
            found.append(u if self.positive else u * rng.choice([-1, 1], u.shape))
        return found


V, M = (4,), (2, 3)
CASES = [
    *(Case(op, shapes) for op in (Add(), Subtract(), Multiply(), Divide())
      for shapes in ((V, V), (M, M), (V, 1.5), (-0.5, V))),
    *(Case(Power(), (V, n)) for n in (2.0, 3.0, -1.0, 1.0)),
    Case(Power(), (V, V), positive=True),
    Case(Power(), (M, 0.5), positive=True),
    Case(Power(), (2.5, M)),
    *(Case(op, (shape,)) for op in (Exp(), Sin(), Cos()) for shape in (V, M)),
    *(Case(op, (shape,), positive=True) for op in (Log(), Sqrt()) for shape in (V, M)),
    Case(MatMul(), ((2, 3), (3,))),
    Case(MatMul(), ((2, 3), (3, 4))),
    Case(MatMul(), ((1, 3), (3, 1))),
    Case(Sum(), (V,)),
    Case(Sum(), (M,)),
    Case(Slice(1, 3), (V,)),
    Case(Slice(0, 1), (M,)),
]  # fmt: skip


def batches(case: Case) -> list[tuple[int, ...]]:
    """Return the batch sizes to try: 1, 5, and each input the same for every example."""
    n = len(case.inputs)
    shared = [tuple(1 if i == j else 5 for i in range(n)) for j in range(n)] if n > 1 else []
    return [(1,) * n, (5,) * n, *shared]


def argument(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


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
                return (upstream * op._forward(argument(given), False)).sum()

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
        for gradient in downstream if isinstance(downstream, tuple) else (downstream,):
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
def test_upstream_times_local_is_downstream(case):
    op, arrays = case.operation, case.arrays(batches(case)[1])
    a = op.forward(argument(arrays), training=True)
    local = op.local(a, *arrays)
    if not isinstance(op, Elementwise):
        assert local == ()
        return
    upstream = np.random.default_rng(2).standard_normal(a.shape)
    downstream = op.backward(upstream)
    downstream = downstream if isinstance(downstream, tuple) else (downstream,)
    for u, slope, gradient in zip(arrays, local, downstream, strict=True):
        if not isinstance(u, float):
            np.testing.assert_array_equal(gradient, upstream * slope)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_config(case):
    again = from_config(case.operation.config())
    assert type(again) is type(case.operation)
    assert again.config() == case.operation.config()


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
    u, v = np.array([[2.0, 3.0]]), np.array([[4.0, 5.0]])
    for op, expected in [(Add(), [6, 8]), (Subtract(), [-2, -2]), (Multiply(), [8, 15]),
                         (Divide(), [0.5, 0.6]), (Power(), [16, 243])]:  # fmt: skip
        np.testing.assert_allclose(op.forward((u, v)), [expected], rtol=1e-15)
    for op, f in [(Exp(), math.exp), (Log(), math.log), (Sqrt(), math.sqrt), (Sin(), math.sin),
                  (Cos(), math.cos)]:  # fmt: skip
        np.testing.assert_allclose(op.forward(u), [[f(2.0), f(3.0)]], rtol=1e-15)
    grid = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(Sum().forward(grid), [[30, 36]])
    np.testing.assert_array_equal(Slice(1, 2).forward(grid), grid[1:2])


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
    assert w.backward(2 * before) == ()
    np.testing.assert_array_equal(w.nabla_w, 2 * before[..., 0])
    assert w._weight_slices() == [slice(0, 6)]
    assert Variable((2,), regularized=False)._weight_slices() == []
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
    ],
)
def test_bad_input(op, inputs, error, message):
    with pytest.raises(error, match=message):
        op.forward(inputs)


def test_domain_edges_are_numpys_and_warn():
    zero = np.zeros((1, 1))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert Log().forward(zero) == -np.inf
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert Divide().forward((zero + 1, zero)) == np.inf
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(Sqrt().forward(zero - 1))
    root = Sqrt()
    root.forward(zero, training=True)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert root.backward(zero + 1) == np.inf
    half = Power()
    half.forward((zero, 0.5), training=True)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert half.backward(zero + 1)[0] == np.inf
