"""The contract every layer keeps: two passes, and the four equations as three methods.

Index conventions, here and in every layer: n is the number of neurons or features, B the number
of examples in the minibatch. The batch is always the last axis: dense n x B, images C x H x W x B,
sequences d x T x B. `delta` means only dC/dz, `nabla_a` only dC/da.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.core.config import Configurable
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers import passes
from backprop.layers.arguments import MadeOnce
from backprop.layers.checks import check_layer_input, check_like
from backprop.layers.hooks import Hooked
from backprop.layers.masks import Masking, only_real
from backprop.layers.mode import INFERENCE, KEEPING, TRAINING, Mode
from backprop.layers.outputs import SaysWhatItGives
from backprop.layers.parameters import Tie
from backprop.layers.state import Stateful

if TYPE_CHECKING:
    from backprop.layers.activations import Activation

Seed = np.random.Generator | int | None


class Layer(MadeOnce, Stateful, Hooked, SaysWhatItGives, Masking, Configurable, ABC):
    """One step of the chain: a differentiable function of its input and its parameters.

    A layer is used through `forward` and `backward`, which check what they are given. What a new
    layer has to write is mathematics: `output`, and of the way back what it has of

    ==========================  ==================================================================
    ``delta_of(nabla_a)``       BP1, BP2: delta = nabla_a * sigma'(z), where there is a sigma
    ``parameter_gradients``     BP3, BP4: dC/db and dC/dw from delta, where there are parameters
    ``downstream(delta)``       BP2: w^T delta, what the layer below multiplies by its sigma'
    ==========================  ==================================================================

    and `output_shape`; `gives`, if a cross-entropy may follow. Parameters are declared in the class
    body, each beside its gradient, and given their shapes by `allocate`::

        class Scale(Layer):
            g, nabla_g = Parameter(regularized=True), Gradient()

            def __init__(self, n, dtype="float32"):
                self.n = n
                self.allocate(dtype, g=(n, 1))
                self.initialize()

            def initialize(self, rng=None):
                self.g[...] = 1

            def output(self, a_prev, mode):
                return self.g * a_prev

            def parameter_gradients(self, delta):
                np.sum(delta * self.a_prev, axis=1, keepdims=True, out=self.nabla_g)

            def downstream(self, delta):
                return self.g * delta

    Attributes
    ----------
    theta, nabla : ndarray of shape (P,)
        All parameters and all their gradients, flat. In a network they are views of the
        network's own `theta` and `nabla`.
    dtype : numpy.dtype or None
        That of the parameters, and of the arrays the layer takes; None for a layer without
        parameters, which takes any floating dtype and keeps it.
    a_prev, z, a : ndarray or None
        What the last forward pass that kept state did: input, weighted input (where the layer has
        one) and output, the batch on the last axis.
    delta : ndarray or None
        dC/dz of the last `backward`, one column per example, until the next forward pass that
        keeps state; None for a layer without a z of its own, unless a "delta" hook asks for it.
    trainable : bool
        False freezes the layer: optimizers, weight decay, regularizers and running statistics
        leave it as it is, and BP3 and BP4 are left out (`nabla` is 0) unless a hook asks for them.
    eta_factor, decay_factor : float
        By which the learning rate, and weight decay or penalty, are multiplied for this layer.
    independent_examples : bool
        Whether every example's output depends on that example alone, so that the gradient of a
        batch is the sum over its examples. A layer in which they meet (a mean over the batch)
        says False; `backprop.gradients.check_layer` then leaves that test out.
    heeds_part : bool
        Whether a layer that draws random numbers, or in which examples meet, heeds which part of
        a minibatch it is given, as `backprop.layers.parts` says. One that does not cannot be
        trained by several processes.
    integer_input : bool
        Whether the layer takes integers, such as the tokens of an `Embedding`: it then has no
        downstream gradient, and `backward` returns None.
    takes_mask, independent_steps, keeps_steps : bool
        What the layer does with padded sequences; see `backprop.layers.masks`. One that says
        nothing is refused inside `Masked`.
    real_steps : ndarray of bool, T x B, or None
        The mask of the last pass that kept state: True where a step is real.
    uses_threads : bool
        Whether the layer has several threads work for it where its arrays are large, as
        `backprop.kernels.threads` has it.
    children : tuple of Layer
        The layers inside a container.
    """

    independent_examples: bool = True
    heeds_part: bool = False
    integer_input: bool = False
    uses_threads: bool = False
    a_prev: Any = None
    z: Any = None
    a: Any = None
    nabla_a: Any = None  # while "upstream" hooks are called
    delta: Any = None
    last_pass: passes.Pass | None = None
    ties_across: Sequence[tuple[Layer, Tie]] = ()  # between the layers inside a container

    # -- the two passes, checked -------------------------------------------------------------

    @underflow_is_0
    def forward(
        self,
        a_prev: np.ndarray,
        training: bool = False,
        mask: np.ndarray | None = None,
        keep: bool = False,
    ) -> np.ndarray:
        """Return the layer's activation.

        Parameters
        ----------
        a_prev : ndarray, input shape x B
            The activation of the layer below, in the layer's dtype.
        training : bool
            Behave as in training (drop out, take the statistics of the batch), and keep what
            `backward` needs. What is kept is the layer's own: change input and output as you like.
        mask : ndarray of bool, T x B, optional
            Which steps of the sequences d x T x B are real; what stands in the others changes
            nothing. See `backprop.layers.masks` for which layers take one.
        keep : bool
            Keep what `backward` needs, but behave as in inference: `backward` then goes back
            through the layer as it predicts. Without `training` and `keep` nothing is kept, and
            the call is safe from several threads.

        Raises
        ------
        TypeError
            If `a_prev` is not a floating array of the layer's dtype, or the layer takes no mask.
        ShapeError
            If its shape is not what the layer takes, or the mask's is not T x B.
        RuntimeError
            If a layer inside has been built into something else since.
        """
        self.check_whole()
        self.check_input(a_prev)
        mode = TRAINING if training else KEEPING if keep else INFERENCE
        if mask is not None:
            self.check_mask(a_prev, mask)
            mode = mode.masked(mask.copy())
        return passes.up(self, a_prev, mode)

    @underflow_is_0
    def backward(self, nabla_a: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Fill the gradients of the parameters; return that of the input.

        Parameters
        ----------
        nabla_a : ndarray, output shape x B
            dC/da of this layer, the upstream gradient.
        input_gradient : bool
            False spares the work of the downstream gradient, which the first layer of a network
            has no use for.

        Returns
        -------
        ndarray of the input's shape, or None if not `input_gradient`
            dC/da of the layer below, a new array.

        Raises
        ------
        RuntimeError
            If there was no forward pass that keeps state (training or keep) before, of this layer
            or of what it stands in; or its parameters have changed since (by a fit, an optimizer's
            step, or by hand), a layer inside has gone forward by itself, or has been built into
            something else.
        TypeError, ShapeError
            If `nabla_a` differs from the activation in dtype or shape.
        """
        self.check_upstream(nabla_a)
        return passes.own(self.go_back(passes.own(nabla_a), input_gradient))

    @underflow_is_0
    def backward_from(self, delta: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Do what `backward` does, from delta = dC/dz: entered below the activation.

        It keeps delta, lets what hangs on delta change it, and goes on with BP3, BP4 and, if
        `input_gradient`, BP2. Of a layer without a z, delta is nabla_a.

        Raises
        ------
        RuntimeError, TypeError, ShapeError
            As `backward`.
        """
        self.check_upstream(delta, "delta", self.a if self.z is None else self.z)
        return passes.own(self.go_back_from(passes.own(delta), input_gradient))

    # -- what a layer's author writes --------------------------------------------------------

    @abstractmethod
    def output(self, a_prev: Any, mode: Mode) -> Any:
        """Return a; if ``mode.keep``, keep what the way back needs beside a_prev and a."""

    def delta_of(self, nabla_a: Any) -> Any:
        """Return delta = nabla_a * sigma'(z), BP1 and BP2; nabla_a itself where there is no z."""
        return nabla_a

    def parameter_gradients(self, delta: Any) -> None:
        """Fill the gradients of the parameters, BP3 and BP4; only a layer that has some does."""

    @abstractmethod
    def downstream(self, delta: Any) -> Any:
        """Return w^T delta, BP2: dC/da of the layer below. A new array, or a view of delta."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, without the batch, for an input of `input_shape`.

        Raises
        ------
        ShapeError
            If the layer cannot take such an input.
        """
        return input_shape

    def shape_rule(self, input_shape: Shape) -> str:
        """Return the rule, with its numbers, by which `output_shape` comes about; "" if plain."""
        return ""

    def initialize(self, rng: Seed = None) -> None:
        """Draw the parameters afresh, from a `numpy.random.Generator` or a seed."""

    @property
    def input_shape(self) -> Shape | None:
        """The one input shape the layer takes, without the batch, or None if it takes several."""
        return None

    @property
    def own_activation(self) -> Activation | None:
        """The activation with a = sigma(z), or None."""
        return self.output_activation

    @property
    def output_activation(self) -> Activation | None:
        """The activation below which a cost may enter: its sigma is the last thing done."""
        return None

    # -- the same passes, unchecked: what containers and networks call ------------------------

    def run(self, a_prev: Any, mode: Mode) -> Any:
        """Return the output; keep input and output if ``mode.keep``, and call the hooks then."""
        if mode.mask is not None:
            a_prev = only_real(self, a_prev, mode.mask)
        if not mode.keep:
            return self.output(a_prev, mode)
        self.a = None  # a pass that fails half-way leaves nothing to go back from
        a = self.output(a_prev, mode)
        self.a_prev, self.a, self.delta, self.real_steps = a_prev, a, None, mode.mask
        if self._hooks is not None:
            return self._hooks.after_output(self)
        return a

    def z_and_a(self, a_prev: Any, mode: Mode) -> tuple[Any, Any]:
        """Return z, None where no cost may enter below a sigma, and a; keep nothing."""
        return None, self.output(a_prev, mode)

    def go_back(self, nabla_a: Any, input_gradient: bool = True) -> Any:
        """Go back from dC/da: delta by BP1 or BP2, and the rest."""
        if self._hooks is not None:
            self._hooks.note_upstream(nabla_a)
        return self.go_back_from(self.below_sigma(nabla_a), input_gradient)

    def below_sigma(self, nabla_a: Any) -> Any:
        """Go back through sigma alone: `delta_of`, and before it what hangs on dC/da."""
        if self._hooks is not None:
            return self._hooks.below_sigma(self, nabla_a)
        return self.delta_of(nabla_a)

    def go_back_from(self, delta: Any, input_gradient: bool = True) -> Any:
        """Go back from dC/dz."""
        if self.z is not None:
            self.delta = delta
        if self._hooks is None and not self.ties_across and self.real_steps is None:
            return self.descend(delta, input_gradient)
        if self._hooks is not None:
            nabla_a_prev = self._hooks.descend(self, delta, input_gradient)
        else:
            nabla_a_prev = self.descend(delta, input_gradient)
        if self.real_steps is not None and nabla_a_prev is not None:
            nabla_a_prev = only_real(self, nabla_a_prev, self.real_steps)
        for place, tie in self.ties_across:
            tie.add_gradient(place)
        if self._hooks is not None:
            self._hooks.after_gradients(self, nabla_a_prev)
        return nabla_a_prev

    def descend(self, delta: Any, input_gradient: bool) -> Any:
        """Compute BP3 and BP4, then BP2's w^T delta if asked for.

        A layer for which they share work does all of it here, where neither has been replaced (see
        `follows`).
        """
        if self._sizes and (self._learning is None or self.wants_gradients()):
            self.parameter_gradients(delta)
        return self.downstream(delta) if input_gradient else None

    def wants_gradients(self) -> bool:
        """Say whether BP3 and BP4 are asked for, of this layer or of one it is tied to."""
        if self.wants_own_gradients():
            return True
        return any(tie.layer.wants_own_gradients() for tie in self.ties.values())

    def wants_own_gradients(self) -> bool:
        """Say whether the layer is not frozen, or something hangs on it that may ask for them."""
        return self._learning is None or self._learning.trainable or self.has_hooks

    def follows(self, kind: Any) -> bool:
        """Say whether both equations of the way back are those that `kind` wrote."""
        mine = vars(self)
        return (
            type(self).downstream is kind.downstream
            and type(self).parameter_gradients is kind.parameter_gradients
            and "downstream" not in mine
            and "parameter_gradients" not in mine
        )

    # -- copies ------------------------------------------------------------------------------

    def astype(self, dtype: Any) -> Any:
        """Return a copy of the layer, its parameters in `dtype` (float32, float64, complex128).

        The copy has seen no forward pass: what this layer kept of one is of another dtype, and
        every such attribute is again what its class says it is at first.
        """
        dtype = self.check_dtype(dtype)
        twin = copy.deepcopy(self)
        layers = [layer for _, layer in twin.walk()]
        outside = twin.shared_outside()
        moved: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # places share what training moves
        for layer in (*layers, *outside):
            layer.forget()
            for name in layer.state_names:
                array = getattr(layer, name)
                moved.setdefault(id(array), (array, layer.state_as(name, dtype)))
                setattr(layer, name, moved[id(array)][1])
            layer.ties = {name: tie.astype(dtype) for name, tie in layer.ties.items()}
        for layer in (*outside, twin):
            layer.bind(layer.theta.astype(dtype), layer.nabla.astype(dtype))
        for layer in (*outside, *reversed(layers)):  # the inner ones first
            layer.bind_ties()
            layer.flatten_parameters()
        return twin

    # -- checks ------------------------------------------------------------------------------

    def check_whole(self) -> None:
        """Raise a RuntimeError if something inside belongs to something else by now."""
        if self._lost is not None:
            raise RuntimeError(
                f"{type(self).__name__}: {self._lost} has been built into something else since, "
                "and one layer has one state: build one of the two of copies, "
                "copy.deepcopy(layers)"
            )

    def check_input(self, a_prev: Any) -> None:
        """Raise a TypeError or ShapeError unless the layer can take the input."""
        check_layer_input(self, a_prev)

    def transposed_hint(self, shape: Shape) -> str:
        """Return what to do about an input of this shape, if its batch seems to come first."""
        try:
            self.output_shape(shape[1:])
        except ShapeError:
            return "; the batch is the last axis"
        turn = "x.T" if len(shape) == 2 else "np.moveaxis(x, 0, -1)"
        return f"; the batch is the last axis: did you mean {turn}?"

    def check_upstream(self, nabla: Any, name: str = "nabla_a", like: Any = None) -> None:
        """Raise unless `nabla` has dtype and shape of the activation, or of z."""
        self.check_whole()
        passes.check(self, self)
        if like is None or like is self.a:
            check_like(self, name, nabla, self.a)
        else:
            check_like(self, name, nabla, like, "the weighted input z")

    def shape_error(self, expected: Shape | str, got: Shape) -> ShapeError:
        """Return the error for `output_shape` to raise: `expected` without the batch axis."""
        text = expected if isinstance(expected, str) else shape_text(expected)
        return ShapeError(f"{self}: expected input of shape {text}, got {shape_text(got)}", text)

    def walk(self, name: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer and all layers inside it, each with its name: "2", "2.0", "2.0.1"."""
        yield name, self
        for index, child in enumerate(self.children):
            yield from child.walk(f"{name}.{index}" if name else str(index))
