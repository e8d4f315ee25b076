"""What hangs on a layer: functions called at moments of a pass, and what goes back in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.shapes import ShapeError

Layer = Any  # the contract of a layer knows hooks, not they it

MOMENTS = ("forward", "upstream", "delta", "backward")


class Hook:
    """A function that is called at one moment of a layer's pass: what `Layer.add_hook` returns.

    Attributes
    ----------
    moment : {"forward", "upstream", "delta", "backward"}
    layer : Layer
    function : callable
    name : str
    """

    def __init__(self, hooks: Hooks, moment: str, layer: Layer, function: Callable, name: str):
        self.moment, self.layer, self.function, self.name = moment, layer, function, name
        self._hooks = hooks

    def remove(self) -> None:
        """Call the function no more; a second time does nothing."""
        if self._hooks.by_name.get(self.name) is self:
            del self._hooks.by_name[self.name]
            self._hooks.settle(self.layer)

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<{self.moment} hook {self.name!r} on {self.layer}>"


class Watch:
    """What passes through a layer on the way back, noted at every backward pass.

    Attributes
    ----------
    nabla_a : ndarray or None
        dC/da that the layer was given; None where the pass entered below its activation.
    downstream : ndarray or None
        dC/da_prev that it sent down; None if it was not asked for.
    passed : bool
        Whether the layer has taken part in a backward pass since the watch began.
    """

    def __init__(self) -> None:
        self.nabla_a: Any = None
        self.downstream: Any = None
        self.passed = False

    def __repr__(self) -> str:
        return f"<Watch, {'' if self.passed else 'not '}passed>"


class Hooks:
    """All that hangs on one layer. A layer without has None in its place."""

    def __init__(self) -> None:
        self.by_name: dict[str, Hook] = {}
        self.watch: Watch | None = None
        self.feedback: Feedback | None = None

    @property
    def looks(self) -> bool:
        """Whether something looks at the passes, and may ask for all that is in them."""
        return bool(self.by_name) or self.watch is not None

    def add(self, layer: Layer, moment: str, function: Any, name: str | None) -> Hook:
        """Hang a function on the layer; see `Layer.add_hook`."""
        if moment not in MOMENTS:
            wanted = " or ".join(map(repr, MOMENTS))
            raise ValueError(f"{layer}: a hook's moment is {wanted}, got {moment!r}")
        if not callable(function):
            raise TypeError(f"{layer}: a hook must be callable, got {function!r}")
        if name is None:
            names = (f"{moment} hook {n}" for n in range(1, len(self.by_name) + 2))
            name = next(free for free in names if free not in self.by_name)
        if not isinstance(name, str):
            raise TypeError(f"{layer}: a hook's name must be a string, got {name!r}")
        if name in self.by_name:
            raise ValueError(f"{layer}: there is a hook {name!r} already")
        self.by_name[name] = hook = Hook(self, moment, layer, function, name)
        return hook

    def call(self, moment: str, layer: Layer) -> None:
        """Call the functions of one moment, in the order they were added."""
        for name, hook in list(self.by_name.items()):  # a hook may remove itself, or another
            if hook.moment == moment and self.by_name.get(name) is hook:
                hook.function(layer)

    def after_output(self, layer: Layer) -> Any:
        """Call the functions that wait for the output, and return it as they leave it.

        If one fails there is no way back.
        """
        a = layer.a
        try:
            self.call("forward", layer)
            _check_left(layer, "a", layer.a, a)
        except BaseException:
            layer.a = None
            raise
        return layer.a

    def at_upstream(self, layer: Layer, nabla_a: Any) -> Any:
        """Call the functions that may change dC/da, and return it as they leave it."""
        if not self.waits_for("upstream"):
            return nabla_a
        layer.nabla_a = _copy(nabla_a)  # it may be what the layer above sent to others, too
        try:
            self.call("upstream", layer)
            _check_left(layer, "nabla_a", layer.nabla_a, nabla_a)
            return layer.nabla_a
        finally:
            layer.nabla_a = None

    def note_upstream(self, nabla_a: Any) -> None:
        """Note what the layer was given."""
        if self.watch is not None:
            self.watch.nabla_a = nabla_a

    def below_sigma(self, layer: Layer, nabla_a: Any) -> Any:
        """Return delta of what is left of dC/da, by the layer or what stands for it."""
        nabla_a = self.at_upstream(layer, nabla_a)
        if self.feedback is None:
            return layer.delta_of(nabla_a)
        return self.feedback.delta_of(layer, nabla_a)

    def descend(self, layer: Layer, delta: Any, input_gradient: bool) -> Any:
        """Do what `Layer.descend` does with what is left of delta, down by what stands for BP2."""
        delta = self.at_delta(layer, delta)
        if self.feedback is None:
            return layer.descend(delta, input_gradient)
        layer.descend(delta, False)
        return self.feedback.downstream(layer, delta) if input_gradient else None

    def at_delta(self, layer: Layer, delta: Any) -> Any:
        """Call the functions that may change delta, and return it as they leave it."""
        if not self.waits_for("delta"):
            return delta
        layer.delta = _copy(delta)  # it may be the caller's, or what the layer above sent down
        self.call("delta", layer)
        _check_left(layer, "delta", layer.delta, delta)
        return layer.delta

    def waits_for(self, moment: str) -> bool:
        """Say whether a function waits for this moment."""
        return any(hook.moment == moment for hook in self.by_name.values())

    def after_gradients(self, layer: Layer, nabla_a_prev: Any) -> None:
        """Note what was sent down, and call the functions that wait for the gradients."""
        if self.watch is not None:
            self.watch.downstream, self.watch.passed = nabla_a_prev, True
        self.call("backward", layer)

    def settle(self, layer: Layer) -> None:
        """Let the layer be one without hooks again when nothing hangs on it."""
        if not self.looks and self.feedback is None:
            layer.__dict__.pop("_hooks", None)


class Hooked:
    """The part of every layer on which something can be hung; see `Layer`."""

    _hooks: Hooks | None = None

    def add_hook(
        self, moment: str, function: Callable[[Any], Any], name: str | None = None
    ) -> Hook:
        """Have a function called whenever the layer has come to a moment of a pass.

        Parameters
        ----------
        moment : {"forward", "upstream", "delta", "backward"}
            After the layer's output; at dC/da, before sigma' (and a loop over time) is gone back
            through; at delta, before BP2, BP3 and BP4 use it; after its gradients, before the
            layers below begin. What is made of `layer.a`, `layer.nabla_a` (which is there at
            "upstream" alone) or `layer.delta`, in place or by assignment, is what is used. A pass
            that enters below sigma has no "upstream"; a recurrent delta is that of all steps.
        function : callable
            Called as ``function(layer)``; what it returns is ignored, what it raises ends the
            pass and reaches the caller.
        name : str, optional
            Under which it stands in `hooks`; "forward hook 1" and so on unless told.

        Returns
        -------
        Hook
            ``hook.remove()`` ends it, and so does the end of ``with layer.add_hook(...):``.

        Raises
        ------
        ValueError, TypeError
            For another moment, a name in use, or what cannot be called.

        Notes
        -----
        Passes that keep nothing call no hooks: they may run in several threads. The hooks of a
        moment are called in the order they were added. They belong to this object alone: a copy,
        a pickle and a saved network have none, and of a layer that stands in several places each
        place is an object of its own, ``network[2]``. A layer without hooks pays one test a pass.
        """
        hooks = self._hooks or Hooks()
        hook = hooks.add(self, moment, function, name)
        self._hooks = hooks
        return hook

    @property
    def hooks(self) -> dict[str, Hook]:
        """The hooks by name, in the order they were added; a copy."""
        return {} if self._hooks is None else dict(self._hooks.by_name)

    def watch(self) -> Watch:
        """Return what from now on notes dC/da and dC/da_prev of every backward pass."""
        self._hooks = self._hooks or Hooks()
        self._hooks.watch = self._hooks.watch or Watch()
        return self._hooks.watch

    @property
    def has_hooks(self) -> bool:
        """Whether a function or a watch hangs on the layer, which looks at its passes."""
        return self._hooks is not None and self._hooks.looks

    @property
    def feedback(self) -> Any:
        """What goes back in the place of the layer's own equations, a `Feedback`, or None.

        As a hook it belongs to this object alone. It is what a credit rule of a network sets,
        ``network.credit``, which sees to copies and files.
        """
        return None if self._hooks is None else self._hooks.feedback

    @feedback.setter
    def feedback(self, feedback: Feedback | None) -> None:
        if not isinstance(feedback, (Feedback, type(None))):
            raise TypeError(f"{self}: feedback must be a Feedback or None, got {feedback!r}")
        if feedback is None and self._hooks is None:
            return
        self._hooks = self._hooks or Hooks()
        self._hooks.feedback = feedback
        self._hooks.settle(self)


class Feedback:
    """Another way back than the layer's own: what stands for w^T delta, and for a loop over time.

    BP3 and BP4 stay the layer's. A subclass overrides what it changes, and calls, of a layer that
    sees other weights meanwhile (`Layer.seen_with`), the layer's own equations::

        class Fixed(Feedback):  # feedback alignment
            def downstream(self, layer, delta):
                with layer.seen_with(w=self.b):
                    return layer.downstream(delta)

    Attributes
    ----------
    twin : object or None
        How it is written in C; without, a network is not compiled.
    """

    twin: Any = None

    def delta_of(self, layer: Any, nabla_a: Any) -> Any:
        """Return delta, in the place of ``layer.delta_of(nabla_a)``."""
        return layer.delta_of(nabla_a)

    def downstream(self, layer: Any, delta: Any) -> Any:
        """Return dC/da of the layer below, in the place of ``layer.downstream(delta)``."""
        return layer.downstream(delta)


def _check_left(layer: Layer, name: str, found: Any, before: Any) -> None:
    """Raise unless a hook left an array what it must be: nothing is broadcast or converted."""
    several = isinstance(before, tuple)
    if several and isinstance(found, tuple) and len(found) == len(before):
        for one, other in zip(found, before, strict=True):
            _check_left(layer, name, one, other)
        return
    if several or not isinstance(found, np.ndarray):
        wanted = f"a tuple of {len(before)} arrays" if several else "an array"
        raise TypeError(f"{layer}: a hook must leave {name} {wanted}, got {type(found).__name__}")
    if (found.shape, found.dtype) != (before.shape, before.dtype):
        error = TypeError if found.shape == before.shape else ShapeError
        raise error(
            f"{layer}: a hook must leave {name} of shape {before.shape} and {before.dtype}, got "
            f"{found.shape} and {found.dtype}"
        )


def _copy(delta: Any) -> Any:
    return tuple(map(np.copy, delta)) if isinstance(delta, tuple) else delta.copy()
