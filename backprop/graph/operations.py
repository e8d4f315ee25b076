"""Operations: nodes that may take several inputs, each beside its way back; products and sums.

An operation is a layer that may take several inputs. Where a layer takes an array, an operation of
two inputs takes a tuple (u, v) of arrays, where it takes a shape a tuple of shapes, and `backward`
returns a tuple of gradients. In the place of an array may stand a number, a constant, which has
no gradient: None. Every operation keeps the dtype it is given, and is computed in complex numbers
where it is given them, so the complex step applies.

Shapes: the batch is the last axis. The axes before it never broadcast. What is the same for every
example, such as a `Variable`, has a batch axis of length 1, as the b of `Dense` is n x 1; it meets
every example of the batch, and its gradient is the sum over them (BP3).

The arithmetic, and functions such as exp, are in `backprop.graph.elementwise`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_integer, check_sequence
from backprop.core.randomness import generator
from backprop.core.shapes import Shape, ShapeError, with_batch
from backprop.initializers import Initializer, as_initializer
from backprop.layers.base import Layer, Seed
from backprop.layers.checks import check_input
from backprop.layers.mode import Mode
from backprop.layers.outputs import Outputs, joined, still_says
from backprop.layers.parameters import Gradient, Parameter


class Operation(Layer):
    """Base of the operations: a = f(u, ...), written as `value` and `gradients_by`.

    Attributes
    ----------
    n_inputs : int
    a_prev : ndarray, or tuple of ndarray and float
        The input or inputs of the last training forward.
    """

    n_inputs: ClassVar[int] = 1
    unmasked_advice = (
        "may put steps together, real or not: in a graph it cannot be given a mask, unless its "
        "class says independent_steps = True"
    )

    def why_steps_meet(self, has_steps: Sequence[bool]) -> str:
        """Return why it cannot be given a mask if so many of its inputs have steps; or ""."""
        return self.why_unmasked()

    def expression(self, *operands: str) -> str:
        """Return the operation as one writes it, given how its operands are written."""
        return f"{type(self).__name__.lower()}({', '.join(operands)})"

    def check_constant(self, position: int, value: float) -> None:
        """Raise ValueError if the constant `value` cannot stand at `position`."""

    def local(self, a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        """Return da/du for every input of an elementwise operation; of others nothing, ().

        The others have a Jacobian that is no such array: see `backprop.gradients.jacobian`.
        """
        return ()

    @abstractmethod
    def value(self, *inputs: Any) -> np.ndarray:
        """Return a = f(u, ...), a new array."""

    @abstractmethod
    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        """Return dC/du for every input, upstream times local."""

    def output(self, a_prev: Any, mode: Mode) -> np.ndarray:
        return self.value(*self.operands(a_prev))

    def known_outputs(self, taken: Any, input_shape: Any) -> Any:
        if not still_says(self, "gives", "value"):
            return Outputs.ANYTHING
        return super().known_outputs(taken, input_shape)

    def downstream(self, delta: np.ndarray) -> Any:
        inputs = self.operands(self.a_prev)
        downstream = tuple(
            None if isinstance(u, float) else _sum_examples(gradient, u)
            for gradient, u in zip(self.gradients_by(delta, *inputs), inputs, strict=True)
        )
        return downstream[0] if self.n_inputs == 1 else downstream

    def operands(self, one_or_several: Any) -> tuple[Any, ...]:
        """Return the inputs as a tuple, also where there is one."""
        return (one_or_several,) if self.n_inputs == 1 else one_or_several

    def check_input(self, a_prev: Any) -> None:
        if self.n_inputs != 1 and not (isinstance(a_prev, tuple) and len(a_prev) == self.n_inputs):
            raise TypeError(f"{self}: expected a tuple of {self.n_inputs} inputs, got {a_prev!r}")
        inputs = self.operands(a_prev)
        arrays = [u for u in inputs if not isinstance(u, float)]
        for index, u in enumerate(arrays):
            check_input(self, u, arrays[0].dtype if index else None)
            if u.ndim < 2 or u.size == 0:
                raise ShapeError(f"{self}: the input must be n x B and not empty, got {u.shape}")
        sizes = {u.shape[-1] for u in arrays} - {1}
        if len(sizes) > 1:
            got = " and ".join(str(u.shape) for u in arrays)
            raise ShapeError(f"{self}: the batch is the last axis of all inputs, got {got}")
        shapes = tuple(None if isinstance(u, float) else u.shape[:-1] for u in inputs)
        self.output_shape(shapes[0] if self.n_inputs == 1 else shapes)  # type: ignore[arg-type]


def _sum_examples(gradient: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Sum the gradient over the batch if u is the same for all of it."""
    if u.shape[-1] == 1 and gradient.shape[-1] > 1:
        return gradient.sum(axis=-1, keepdims=True)
    return gradient


class Variable(Operation):
    """A node of no inputs: an array w that is learnt, the same for every example.

    ::

        forward    a = w, with a batch axis of length 1
        backward   dC/dw = nabla_a, in which the examples are summed already

    Its numbers live in the `theta` of the graph; set them by ``graph["w"].w = [[1, 2]]``.

    Parameters
    ----------
    shape : sequence of int
    init : Initializer or str
    regularized : bool
        Whether regularisation and weight decay apply: True for weights, False for biases.
    dtype, rng
        As in `Dense`.
    """

    n_inputs = 0
    w, nabla_w = Parameter(regularized=True), Gradient()

    def __init__(
        self,
        shape: Sequence[int],
        init: Initializer | str = "normal",
        regularized: bool = True,
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        sizes = check_sequence("Variable", "shape", shape)
        self.shape = tuple(check_integer("Variable: shape", n) for n in sizes)
        if not self.shape:
            raise ValueError("Variable: shape must not be empty; a single number has shape (1,)")
        self.init = as_initializer(init, type(self).__name__, "init")
        self.regularized = bool(regularized)
        self.allocate(dtype, w=self.shape)
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        self.w = self.init(self.shape, generator(type(self).__name__, rng), self.dtype)

    def output_shape(self, input_shape: Any) -> Shape:
        return self.shape

    def value(self, *inputs: Any) -> np.ndarray:
        return self.w[..., np.newaxis].copy()  # w changes with the next step, a stays

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        return ()

    def parameter_gradients(self, delta: np.ndarray) -> None:
        self.nabla_w[...] = delta[..., 0]

    def has_weights(self) -> bool:
        return self.regularized

    def __repr__(self) -> str:
        return f"{type(self).__name__}({' x '.join(map(str, self.shape))})"


class MatMul(Operation):
    """a = w v, a matrix times a vector or a matrix, for every example.

    ::

        forward    a = w v
        backward   dC/dw = nabla_a v^T,   dC/dv = w^T nabla_a

    Shape: w is m x n, v is n or n x k, a is m or m x k, and the batch after that. A w that is the
    same for all examples, a `Variable`, multiplies the whole batch in one product, and nabla_a v^T
    sums over the examples by itself: BP4.
    """

    n_inputs = 2

    def why_steps_meet(self, has_steps: Sequence[bool]) -> str:
        return super().why_steps_meet(has_steps) if has_steps[0] else ""  # w v[:, t] at each step

    def expression(self, *operands: str) -> str:
        return " @ ".join(operands)

    def check_constant(self, position: int, value: float) -> None:
        raise ValueError(f"a matrix product takes no number, got {value:g}")

    def output_shape(self, input_shape: Any) -> Shape:
        w, v = input_shape
        if len(w) != 2 or len(v) not in (1, 2) or w[1] != v[0]:
            expected = "(m, n) and (n,) or (n, k)"
            raise ShapeError(f"{self}: expected shapes {expected}, got {w} and {v}", expected)
        return (w[0], *v[1:])

    def value(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        if w.shape[-1] == 1:
            return (w[..., 0] @ _flat(v)).reshape(len(w), *v.shape[1:])
        return np.einsum("mnb,n...b->m...b", w, v)

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        w, v = inputs
        if w.shape[-1] == 1:
            nabla_w = (_flat(nabla_a) @ _flat(v).T)[..., np.newaxis]
            return nabla_w, (w[..., 0].T @ _flat(nabla_a)).reshape(v.shape)
        nabla_w = np.einsum("mkb,nkb->mnb", _matrices(nabla_a), _matrices(v))
        return nabla_w, np.einsum("mnb,m...b->n...b", w, nabla_a)


def _flat(v: np.ndarray) -> np.ndarray:
    """Return n x k x B as a matrix of n rows."""
    return v.reshape(len(v), -1)


def _matrices(v: np.ndarray) -> np.ndarray:
    """Return n x B as n x 1 x B, and n x k x B as it is."""
    return v.reshape(len(v), -1, v.shape[-1])


class Sum(Operation):
    """a = sum of u over everything but the batch: one number an example, shape 1 x B.

    The derivative by every element is 1, so backward gives nabla_a to all of them.
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (1,)

    def value(self, u: np.ndarray) -> np.ndarray:
        return u.reshape(-1, u.shape[-1]).sum(axis=0, keepdims=True)

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        (u,) = inputs
        return (np.broadcast_to(nabla_a[0], u.shape).copy(),)


class Slice(Operation):
    """a = u[start:stop], some of the features; backward puts nabla_a there, and 0 elsewhere.

    That is how a graph has several inputs: stacked in one array, and taken apart again.

    Parameters
    ----------
    start, stop : int
        On the first axis, 0 <= start < stop.
    """

    independent_steps = True

    def __init__(self, start: int, stop: int) -> None:
        self.start = check_integer("Slice: start", start, 0)
        self.stop = check_integer("Slice: stop", stop)
        if self.start >= self.stop:
            raise ValueError(f"Slice: expected 0 <= start < stop, got {start} and {stop}")

    def expression(self, *operands: str) -> str:
        return f"{operands[0]}[{self.start}:{self.stop}]"

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[0] < self.stop:
            expected = f"at least {self.stop} features"
            raise ShapeError(f"{self}: expected {expected}, got {with_batch(str(input_shape))}",
                             expected)  # fmt: skip
        return (self.stop - self.start, *input_shape[1:])

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        return taken.rearranged()

    def value(self, u: np.ndarray) -> np.ndarray:
        return u[self.start : self.stop]

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        downstream = np.zeros_like(inputs[0])
        downstream[self.start : self.stop] = nabla_a
        return (downstream,)


class Concatenate(Operation):
    """Several inputs one after another on the first axis, that of features or channels.

    ::

        forward    a = [u; v; ...]
        backward   dC/du, dC/dv, ... are the parts of nabla_a

    Parameters
    ----------
    n_inputs : int
        How many; at least 2.
    """

    independent_steps = True

    def __init__(self, n_inputs: int = 2) -> None:
        self.n_inputs = check_integer("Concatenate: n_inputs", n_inputs, 2)  # type: ignore[misc]

    def expression(self, *operands: str) -> str:
        return f"[{'; '.join(operands)}]"

    def check_constant(self, position: int, value: float) -> None:
        raise ValueError("a number cannot be concatenated")

    def output_shape(self, input_shape: Any) -> Shape:
        first, *others = input_shape
        if any(shape[1:] != first[1:] for shape in others):
            expected = "shapes that differ in the first axis only"
            got = " and ".join(map(str, input_shape))
            raise ShapeError(f"{self}: expected {expected}, got {got}", expected)
        return (sum(shape[0] for shape in input_shape), *first[1:])

    def gives(self, taken: Any, input_shape: Any) -> Outputs:
        return joined(list(taken))

    def value(self, *inputs: Any) -> np.ndarray:
        batch = max(u.shape[-1] for u in inputs)  # a Variable has 1
        return np.concatenate([np.broadcast_to(u, (*u.shape[:-1], batch)) for u in inputs])

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        ends = np.cumsum([len(u) for u in inputs[:-1]])
        return tuple(part.copy() for part in np.split(nabla_a, ends))
