"""What the recurrent layers share: the loop over time, forward and backward.

A recurrent layer is one layer used T times, on the steps of a sequence, each time with what it
remembers of the steps before: its state, h (the LSTM has a second one, c). Unrolled, it is a
network of T layers with the same weights, and backpropagation through time is plain
backpropagation in it: BP2 goes from step t + 1 to step t as from layer l + 1 to layer l, and the
gradient of a shared weight is the sum over the steps.

RNN, LSTM and GRU state their equations, for one step forward and one step back.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import accumulate, pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from backprop.core.checks import check_bool, check_integer
from backprop.core.quiet import underflow_is_0
from backprop.core.randomness import generator
from backprop.core.shapes import Shape, ShapeError, copy_into
from backprop.initializers import Initializer, as_initializer
from backprop.kernels.sums import sum_over_batch
from backprop.layers.base import Layer, Seed
from backprop.layers.checks import check_input
from backprop.layers.mode import Mode
from backprop.layers.parameters import Gradient, Parameter

State = Any  # an array n x B, or a tuple of them


class Step(NamedTuple):
    """One step of the loop over time, as a cell sees it; all are views, to be filled in place.

    Attributes
    ----------
    z : ndarray, (blocks n) x B
        w x_t + w_h h_{t-1} + b.
    before, after : ndarray, states x n x B
        The state before the step and after it: h, and c of an LSTM.
    kept : tuple of ndarray, each (its blocks n) x B
        What the way back needs of the step, in the order of `Recurrent.kept`.
    """

    z: np.ndarray
    before: np.ndarray
    after: np.ndarray
    kept: tuple[np.ndarray, ...]


class Recurrent(Layer):
    """Base of the layers for sequences n_in x T x B; the output n x T x B is h at every step.

    ::

        forward    z_t = w x_t + w_h h_{t-1} + b,   h_t = f(z_t, ...)      for t = 1 ... T
        BP2        nabla_h_t = nabla_a_t + w_h^T delta_{t+1}, delta_t from it  for t = T ... 1
        BP3        dC/db = sum of delta_t over steps and batch
        BP4        dC/dw = sum over t of delta_t x_t^T,  dC/dw_h = sum over t of delta_t h_{t-1}^T
        downstream dC/dx_t = w^T delta_t

    x_t is the input at step t and h_0 = 0. BP3 and BP4 are products over all steps at once.

    A mask T x B (True where a step is real) makes sequences of several lengths one batch. Where a
    step is padding the state stays as it was, h_t = h_{t-1} (and c), so that the output at the
    last step is that of the last real one. In backward delta_t is 0 there and the gradient by the
    state passes through, so that nabla_a of a padded step goes to the real step before it.

    Parameters
    ----------
    n_in, n : int
        Features of the input at every step, and of the state.
    w_init, w_h_init : Initializer or str
        How w and w_h are drawn, every gate's block by itself. Biases start at 0.
    reverse : bool
        Run from the last step to the first; the output stays in the order of time. Right padding
        then comes first, and the state is 0 until the first real step. Together with a layer that
        runs forward, side by side, it makes a bidirectional one.
    truncate : int, optional
        k for truncated backpropagation through time: the gradient by the state is cut between the
        k-th real step that is run and the next, between the 2k-th and the next, and so on. Forward
        is the same. The gradient is then that of chunks of k steps, the state at whose start is
        taken as constant: by design not the derivative of the output, so the gradient check refuses
        it.
    carry : bool
        Start every training forward from the state in which the one before ended: the batches are
        consecutive chunks of B long sequences (cut by `backprop.datasets.sequences.chunks`, for a
        trainer with ``shuffle=False``, which forgets the state after every epoch). The gradient
        does not reach back into the earlier chunk. A batch of another size starts from 0 again,
        and so does what follows `reset_state`. Inference always starts from 0, and changes
        nothing.
    dtype : dtype
    rng : numpy.random.Generator, int or None
        Where w and w_h are drawn from, or its seed.

    Attributes
    ----------
    w, nabla_w : ndarray, (blocks n) x n_in
    w_h, nabla_w_h : ndarray, (blocks n) x n
    b, nabla_b : ndarray, (blocks n) x 1
    a_prev : ndarray, n_in x T x B
    a : ndarray, n x T x B
    z, delta : ndarray, (blocks n) x T x B
        ``delta[:, t]`` is dC/dz at step t.
    carried : ndarray, states x n x B
        With `carry`, the state in which the last training forward ended, h first; none if B is 0.
        It is saved with the network.

    Raises
    ------
    TypeError, ValueError
        For a size or `truncate` that is not a positive integer, an unknown initializer, or
        `carry` together with `reverse`.

    Source: Werbos, "Backpropagation Through Time: What It Does and How to Do It", 1990; for
    truncation Williams and Peng, "An Efficient Gradient-Based Algorithm for On-Line Training of
    Recurrent Network Trajectories", 1990.
    """

    takes_mask = True
    blocks: ClassVar[int] = 1
    """How many blocks of n rows z has: one for every gate."""
    states: ClassVar[int] = 1
    """How many arrays n x B the state is, h being the first."""
    kept: ClassVar[dict[str, int]] = {}
    """What is kept of every step for the way back: name, and how many blocks of n rows."""

    w, nabla_w = Parameter(regularized=True), Gradient()
    w_h, nabla_w_h = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    states_of_steps: Any = None  # T + 1, states, n, B: before the first step, and after every one

    def __init__(
        self,
        n_in: int,
        n: int,
        w_init: Initializer | str = "glorot_uniform",
        w_h_init: Initializer | str = "orthogonal",
        reverse: bool = False,
        truncate: int | None = None,
        carry: bool = False,
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        name = type(self).__name__
        self.n_in = check_integer(f"{name}: n_in", n_in)
        self.n = check_integer(f"{name}: n", n)
        self.w_init = as_initializer(w_init, name, "w_init")
        self.w_h_init = as_initializer(w_h_init, name, "w_h_init")
        self.reverse = check_bool(f"{name}: reverse", reverse)
        self.carry = check_bool(f"{name}: carry", carry)
        self.truncate = None if truncate is None else check_integer(f"{name}: truncate", truncate)
        if self.carry and self.reverse:
            raise ValueError(
                f"{name}: carry=True goes on from the last step, where reverse=True begins"
            )
        self.independent_examples = not self.carry  # the output depends on the batch before
        self.state_names = ("carried",) if self.carry else ()
        rows = self.blocks * self.n
        shapes = {"w": (rows, self.n_in), "w_h": (rows, self.n), "b": (rows, 1)}
        self.allocate(dtype, **shapes, **self.further_shapes())
        self.initialize(rng)

    def further_shapes(self) -> dict[str, Shape]:
        """Return the shapes of the parameters that a cell has besides w, w_h and b."""
        return {}

    def initialize(self, rng: Seed = None) -> None:
        rng = generator(type(self).__name__, rng)
        for start in range(0, self.blocks * self.n, self.n):
            block = slice(start, start + self.n)
            self.w[block] = self.w_init((self.n, self.n_in), rng, self.dtype)
            self.w_h[block] = self.w_h_init((self.n, self.n), rng, self.dtype)
        self.b[...] = 0
        self.reset_state()

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[0] != self.n_in:
            raise self.shape_error(f"({self.n_in}, T)", input_shape)
        return (self.n, input_shape[1])

    # -- the state ---------------------------------------------------------------------------

    def reset_state(self) -> None:
        """Forget the carried state: the next training forward starts from 0."""
        self.carried = np.empty((self.states, self.n, 0), self.dtype)

    def state_array(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return a copy of a carried state, of whatever batch size it is."""
        carried = np.empty((*self.carried.shape[:-1], *array.shape[-1:]), self.dtype)
        copy_into(carried, array, name, self)
        return carried

    def take_state(self, name: str, array: np.ndarray) -> None:
        self.carried = array

    @underflow_is_0
    def step(self, a_prev: np.ndarray, state: State = None) -> tuple[np.ndarray, State]:
        """Go on with sequences by any number of steps, keeping nothing in the layer.

        Running a sequence in pieces gives what running it whole does; as with inference, several
        threads may do so at once.

        Parameters
        ----------
        a_prev : ndarray, n_in x T x B
            The next T steps.
        state : ndarray, n x B, or tuple of them, optional
            What the call before returned: h, or (h, c) of an LSTM. None starts from 0.

        Returns
        -------
        a : ndarray, n x T x B
        state : ndarray, n x B, or tuple of them
            After the last step, for the next call.

        Raises
        ------
        ValueError
            If the layer runs in `reverse`.
        TypeError, ShapeError
            For arrays that the layer cannot take.
        """
        if self.reverse:
            raise ValueError(f"{self}: step goes forward in time, and reverse=True does not")
        self.check_input(a_prev)
        start = None if state is None else self._check_state(state, a_prev.shape[-1])
        _, states, h, _ = self.unroll(a_prev, start, None)
        last = tuple(array.copy() for array in states[-1])
        return h, last if self.states > 1 else last[0]

    def _check_state(self, state: State, batch: int) -> np.ndarray:
        arrays = state if self.states > 1 else (state,)
        if not isinstance(arrays, tuple) or len(arrays) != self.states:
            raise TypeError(f"{self}: the state must be a tuple of {self.states} arrays")
        for array in arrays:
            check_input(f"{self}, state", array, self.dtype)
            if array.shape != (self.n, batch):
                raise ShapeError(
                    f"{self}: the state must have the shape {(self.n, batch)}, got {array.shape}"
                )
        return np.stack(arrays)

    # -- the loops over time -----------------------------------------------------------------

    def order_of_steps(self, steps: int) -> list[tuple[int, int, int]]:
        """Return (t, before, after) in the order of running: a step, and where its states are."""
        if self.reverse:
            return [(t, t + 1, t) for t in range(steps - 1, -1, -1)]
        return [(t, t, t + 1) for t in range(steps)]

    @property
    def _before(self) -> slice:
        """Where, among the T + 1 states, are those before every step, in the order of time."""
        return slice(1, None) if self.reverse else slice(-1)

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        padding = None if mode.mask is None else ~mode.mask
        goes_on = mode.training and self.carry and self.carried.shape[-1] == a_prev.shape[-1]
        z, states, h, kept = self.unroll(a_prev, self.carried if goes_on else None, padding)
        if mode.keep:
            self.z, self.states_of_steps = z, states
            for name, array in zip(self.kept, kept, strict=True):
                setattr(self, name, array)
            if mode.training and self.carry:
                last = states[-1] if self.dtype.kind == "c" else states[-1].real
                self.carried = last.copy()
        return h

    def unroll(
        self, x: np.ndarray, start: np.ndarray | None, padding: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return z, the states, h and what else is to be kept, of all steps.

        In memory a step of z, of the states and of what is kept is one contiguous piece. All of z
        and of what is kept is one array: the process holds on to so much memory from call to call,
        while several smaller arrays are given back to the system, and cleared by it, every time.

        So is what goes into a step: its input, a 1, and the states before it, h the first of them.
        All of z_t is then one product, of [w b w_h] with x_t, 1 and h_{t-1} below one another.
        """
        _, steps, batch = x.shape
        n, past = self.n, self.n_in + 1  # the row where the states before the step begin
        dtype = np.result_type(x, self.w, *([] if start is None else [start]))
        ends = [n * end for end in accumulate([0, self.blocks, *self.kept.values()])]
        memory = np.empty((steps, ends[-1], batch), dtype)
        z, *kept = (memory[:, start:end] for start, end in pairwise(ends))
        entering = np.empty((steps + 1, past + self.states * n, batch), dtype)
        entering[self._before, : self.n_in] = x.transpose(1, 0, 2)
        entering[:, self.n_in] = 1
        states = entering[:, past:].reshape(steps + 1, self.states, n, batch)
        x_1_h = entering[:, : past + n]
        h = np.empty((n, steps, batch), dtype)  # its own, for backward reads the states
        states[steps if self.reverse else 0] = 0 if start is None else start
        products = self.products()
        for t, before, after in self.order_of_steps(steps):
            old, new = states[before], states[after]
            for rows, of, weights in products:  # z_t = w x_t + w_h h_{t-1} + b
                np.matmul(weights, x_1_h[before, of], out=memory[t, rows])
            self.step_forward(Step(z[t], old, new, tuple(array[t] for array in kept)))
            if padding is not None:
                np.copyto(new, old, where=padding[t])
            h[:, t] = new[0]
        return z.transpose(1, 0, 2), states, h, [array.transpose(1, 0, 2) for array in kept]

    def products(self) -> list[tuple[slice, slice, np.ndarray]]:
        """Return the products that make z_t: rows to fill, rows of x_t, 1, h_{t-1}, and weights.

        The rows that can be filled are those of z, and then of what is kept.
        """
        return [(slice(len(self.b)), slice(None), np.hstack([self.w, self.b, self.w_h]))]

    def delta_of(self, nabla_a: np.ndarray) -> np.ndarray:
        """Return delta of all steps, by the loop back over time: BP2 from step to step."""
        steps, states = nabla_a.shape[1], self.states_of_steps
        kept = [getattr(self, name) for name in self.kept]
        deltas = np.empty_like(self.z.transpose(1, 0, 2), order="C")  # a step is contiguous
        nabla = np.zeros_like(states[0])  # dC/dh_t, and dC/dc_t, as they come from step t + 1
        padding: Any = None if self.real_steps is None else ~self.real_steps
        begins = self.begins_chunk(steps)
        for t, before, after in reversed(self.order_of_steps(steps)):
            nabla[0] += nabla_a[:, t]  # BP2: dC/dh_t = nabla_a_t + w_h^T delta_{t+1}
            passed = None if padding is None else nabla.copy()
            kept_of_step = tuple(array[:, t] for array in kept)
            step = Step(self.z[:, t], states[before], states[after], kept_of_step)
            self.step_backward(step, nabla, deltas[t])
            if passed is not None:
                np.copyto(nabla, passed, where=padding[t])
                np.copyto(deltas[t], 0, where=padding[t])
            if begins is not None:
                np.copyto(nabla, 0, where=begins[t])
        return deltas.transpose(1, 0, 2)

    def begins_chunk(self, steps: int) -> np.ndarray | None:
        """Return at which steps a chunk of `truncate` real ones begins, T x B or T x 1.

        The gradient by the state before such a step is cut. None if none is.
        """
        if self.truncate is None:
            return None
        real = np.ones((steps, 1), bool) if self.real_steps is None else self.real_steps
        in_order = real[::-1] if self.reverse else real
        begins: np.ndarray = in_order & ((in_order.cumsum(axis=0) - 1) % self.truncate == 0)
        return begins[::-1] if self.reverse else begins

    @property
    def h_before(self) -> np.ndarray:
        """The state h before every step of the last pass that kept state, n x T x B."""
        before: np.ndarray = self.states_of_steps[self._before, 0]
        return before.transpose(1, 0, 2)

    def parameter_gradients(self, delta: np.ndarray) -> None:
        # That the sums over the steps are matrix products is what Dense does over the batch.
        delta, x, h = columns(delta), columns(self.a_prev), columns(self.h_before)
        sum_over_batch(delta, out=self.nabla_b)  # BP3
        np.matmul(delta, x.T, out=self.nabla_w)  # BP4: delta_t x_t^T
        np.matmul(delta, h.T, out=self.nabla_w_h)  # BP4: delta_t h_{t-1}^T

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return (self.w.T @ columns(delta)).reshape(self.a_prev.shape)  # BP2: w^T delta

    @abstractmethod
    def step_forward(self, step: Step) -> None:
        """Fill the state after a step, and what is kept, from z_t = w x_t + w_h h_{t-1} + b."""

    @abstractmethod
    def step_backward(self, step: Step, nabla: np.ndarray, delta: np.ndarray) -> None:
        """Fill delta_t; turn `nabla`, dC/d(state after), into dC/d(state before), in place."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.described())})"

    def described(self) -> list[str]:
        """Return what stands between the parentheses of the layer's description."""
        options = [name for name in ("reverse", "carry") if getattr(self, name)]
        if self.truncate is not None:
            options.append(f"truncate={self.truncate}")
        return [f"{self.n_in} -> {self.n}", *options]


def columns(array: np.ndarray) -> np.ndarray:
    """Return n x T x B as n x (T B), a view wherever it can be one."""
    return array.reshape(len(array), -1)
