"""What a module of PyTorch is made of, as a tree: chains of modules, and branches that meet again.

An nn.Sequential is a chain as it stands. A module with a forward of its own is traced by torch.fx,
which runs it once on a stand-in for the input and notes what is called; functions, such as
``F.relu``, become the modules that do the same. Where a value goes to several places that meet in
a sum or a concatenation, the ways between are branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop.core.extras import needs
from backprop.interop.torch import graphs, modules
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.interop.torch.functions import (
    JOINS,
    LinearOf,
    is_of_shape,
    items_of_call,
    name_of_call,
)

with needs("torch", "backprop.interop.torch"):
    from torch import fx, nn


@dataclass
class Leaf:
    """One module that is converted by itself."""

    name: str
    module: nn.Module


@dataclass
class Group:
    """A chain that is a module of its own; on every step by itself if `steps`."""

    name: str
    inside: list[Any]
    steps: bool = False


@dataclass
class Fork:
    """Branches from one value that meet: in a sum, or joined along an axis."""

    name: str
    branches: list[list[Any]]
    join: str
    dim: int = 1


Items = list[Any]

RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
OF_WEIGHTS = ("need_weights", "average_attn_weights")  # which change nothing of the output


def items_of(module: nn.Module, name: str = "") -> Items:
    """Return the tree of a module, as a chain of its parts.

    Raises
    ------
    NoCounterpartError
        If it cannot be traced, or something in it is not known; the message names the submodule.
    """
    kind = type(module)
    if kind.forward is nn.Sequential.forward:
        found: Items = []
        for key, child in module._modules.items():  # one module may stand there twice
            if child is None:
                continue
            inner = f"{name}.{key}".lstrip(".")
            if type(child).forward is nn.Sequential.forward:
                found.append(Group(inner, items_of(child, inner)))
            else:
                found += items_of(child, inner)
        return found
    if kind is modules.Residual:
        return [Fork(name, [[], items_of(module.layers, f"{name}.layers".lstrip("."))], "sum")]
    if kind is modules.Parallel:
        parts = [(f"{name}.branches.{i}".lstrip("."), b) for i, b in enumerate(module.branches)]
        branches = [items_of(branch, inner) for inner, branch in parts]
        return [Fork(name, branches, module.join, module.dim)]
    if kind is modules.EveryStep:
        return [Group(name, items_of(module.layer, f"{name}.layer".lstrip(".")), steps=True)]
    if kind is nn.TransformerEncoder:
        parts = [*module.layers, *([] if module.norm is None else [module.norm])]
        return [Leaf(f"{name}.layers.{i}".lstrip("."), part) for i, part in enumerate(parts)]
    if kind is graphs.Graph:
        raise NoCounterpartError("a graph that to_torch has made is not read back")
    if is_leaf(module):
        return [Leaf(name, module)]
    return Traced(module, name).items()


def is_leaf(module: nn.Module) -> bool:
    """Say whether a module is one of PyTorch's, or of ours: nothing to look into."""
    room = type(module).__module__
    return room.startswith("torch.") or room in (modules.__name__, LinearOf.__module__)


class Tracer(fx.Tracer):
    """A tracer that looks into modules with a forward of their own, and knows where it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.failed_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m) or type(m).forward is nn.Sequential.forward

    def call_module(self, m: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_in is None:
                self.failed_in = self.path_of_module(m)
            raise


def trace(module: nn.Module, name: str, training: bool) -> fx.Graph:
    """Return the graph of a module in one of its two modes, in which it is left as it was.

    Raises
    ------
    NoCounterpartError
        If torch.fx cannot trace it: the message says where, and why.
    """
    modes = [(inner, inner.training) for inner in module.modules()]
    tracer = Tracer()
    try:
        for inner, _ in modes:
            inner.training = training
        return tracer.trace(module)
    except Exception as error:
        where = ".".join(filter(None, (name, tracer.failed_in))) or type(module).__name__
        reason = " ".join(str(error).split())
        raise NoCounterpartError(
            f"submodule {where!r}: torch.fx cannot trace its forward: {reason:.200}: write "
            "it as an nn.Sequential"
        ) from error
    finally:
        for inner, mode in modes:
            inner.training = mode


class Traced:
    """A module with a forward of its own, traced: what is computed from what.

    What has no counterpart raises a NoCounterpartError that names the submodule and the call.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        graph = trace(module, name, training=True)
        in_evaluation = list(trace(module, name, training=False).nodes)
        nodes = list(graph.nodes)
        if [(n.op, str(n.target)) for n in nodes] != [(n.op, str(n.target)) for n in in_evaluation]:
            raise self.error("", "its forward does something else in training")
        self.twins = dict(zip(nodes, in_evaluation, strict=True))
        self.alias: dict[fx.Node, fx.Node] = {}
        self.states: set[fx.Node] = set()  # what recurrent modules return besides
        self.inputs: dict[fx.Node, list[fx.Node]] = {}
        self.found: dict[fx.Node, Any] = {}  # items, or a Fork whose branches are to be found
        self.source: fx.Node | None = None
        self.sink: fx.Node | None = None
        for node in nodes:
            self.take(node)

    def error(self, what: Any, why: str) -> NoCounterpartError:
        """Return the error for a node that cannot be converted."""
        stack = getattr(what, "meta", {}).get("nn_module_stack") or {}
        inside = next(reversed(list(stack.values())), ("",))[0] if stack else ""
        where = ".".join(filter(None, (self.name, str(inside)))) or type(self.module).__name__
        of = f", {name_of_call(what)}" if isinstance(what, fx.Node) else ""
        return NoCounterpartError(f"submodule {where!r}{of}: {why}")

    def take(self, node: fx.Node) -> None:
        """Note what a node computes, and from what."""
        if node.op == "placeholder":
            if self.source is None:
                self.source = node
            elif node.users:
                raise self.error(node, "a module of one input has a counterpart, and this has more")
            return
        if node.op == "output":
            (value,) = node.args
            value = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
            if not isinstance(value, fx.Node):
                raise self.error("", f"its forward must return one tensor, it returns {value}")
            self.sink = self.value(value)
            return
        if node.op == "get_attr" or is_of_shape(node) or not node.users:
            return
        if self.of_recurrent(node):
            return
        name = name_of_call(node)
        if name in ("contiguous", "clone"):
            self.alias[node] = self.value(node.args[0])
        elif name in JOINS and node.op != "call_module":
            self.join(node, JOINS[name])
        elif node.op == "call_module":
            self.call(node)
        else:
            value = node.args[0] if node.args else node.kwargs.get("input")
            if not isinstance(value, fx.Node):
                raise self.error(node, "it is not applied to a tensor that is computed")
            self.inputs[node] = [self.value(value)]
            try:
                made = items_of_call(node, self.twins[node], self.module)
            except NoCounterpartError as error:
                raise self.error(node, str(error)) from None
            self.found[node] = [Leaf(self.place(node), module) for module in made]

    def place(self, node: fx.Node) -> str:
        """Return the name of a node, for messages."""
        own = node.target if node.op == "call_module" else node.name
        return ".".join(filter(None, (self.name, str(own))))

    def call(self, node: fx.Node) -> None:
        """Note the call of a module."""
        module = self.module.get_submodule(str(node.target))
        given = {**dict(enumerate(node.args)), **node.kwargs}
        values = [arg for arg in given.values() if isinstance(arg, fx.Node)]
        if isinstance(module, nn.MultiheadAttention):
            given = {name: value for name, value in given.items() if name not in OF_WEIGHTS}
            if len(values) == 3 and len({self.value(v) for v in values}) > 1:
                raise self.error(node, "attention of one sequence to another has no counterpart")
            values = values[:1] if len(values) == 3 else values
        if len(values) != 1:
            raise self.error(node, f"it is called with {len(values)} tensors, and one is known")
        for name, value in given.items():
            if not (value is None or value is False or isinstance(value, fx.Node)):
                what = f"argument {name}" if isinstance(name, int) else name
                raise self.error(node, f"it is called with {what}={value}, which has none")
        self.inputs[node] = [self.value(values[0])]
        self.found[node] = items_of(module, self.place(node))

    def join(self, node: fx.Node, join: str) -> None:
        """Note where values meet."""
        values: Sequence[Any] = node.args[:2]
        if join == "concat":
            values = node.args[0] if node.args else node.kwargs["tensors"]  # type: ignore[assignment]
        if not all(isinstance(value, fx.Node) and not is_of_shape(value) for value in values):
            raise self.error(node, "a constant, or a tensor that no module computes, is added")
        if node.kwargs.get("alpha", 1) != 1:
            raise self.error(node, "with an alpha it has no counterpart")
        dim = node.kwargs.get("dim", node.args[1] if join == "concat" and len(node.args) > 1 else 0)
        self.inputs[node] = [self.value(value) for value in values]
        self.found[node] = Fork(self.place(node), [], join, dim)  # type: ignore[arg-type]

    def of_recurrent(self, node: fx.Node) -> bool:
        """Take what is picked of the tuple that a recurrent module or an attention returns."""
        picks = name_of_call(node) in ("getitem", "squeeze") and node.op != "call_module"
        if not picks or not isinstance(node.args[0], fx.Node):
            return False
        whole, index = node.args[0], node.args[1] if len(node.args) > 1 else 0
        module = self.called(whole)
        if isinstance(module, (*RECURRENT, nn.MultiheadAttention)):
            if index == 0:
                self.alias[node] = self.value(whole)
            elif index == 1 and isinstance(module, RECURRENT):
                self.states.add(node)
            else:
                raise self.error(node, "of what it returns only the outputs have a counterpart")
            return True
        if whole not in self.states:
            return False
        recurrent = whole.args[0]
        if name_of_call(recurrent) == "getitem":
            recurrent = recurrent.args[0]  # type: ignore[union-attr]
        of = self.called(recurrent)
        assert isinstance(of, RECURRENT)
        if isinstance(of, nn.LSTM) and whole.args[0] is recurrent:  # of (h, c)
            if index != 0:
                raise self.error(node, "the cell of an LSTM is no output here")
            self.states.add(node)
            return True
        if index not in (0, -1) or of.bidirectional or (index == 0 and of.num_layers > 1):
            raise self.error(node, "of the last states that of the last layer, h[-1], is known")
        self.inputs[node] = [self.value(recurrent)]
        self.found[node] = [Leaf(self.place(node), modules.TimeStep(-1))]
        return True

    def called(self, node: Any) -> nn.Module | None:
        """Return the module that a node calls."""
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.module.get_submodule(str(node.target))
        return None

    def value(self, node: Any) -> fx.Node:
        """Return the node that computes what this one stands for."""
        while node in self.alias:
            node = self.alias[node]
        if node in self.states:
            raise self.error(node, "the states of a recurrent module are no tensor")
        return node  # type: ignore[no-any-return]

    # -- branches ----------------------------------------------------------------------------

    def items(self) -> Items:
        """Return the tree from the input to the output."""
        if self.source is None or self.sink is None or self.sink is self.source:
            raise self.error("", "its forward computes nothing from its input")
        self.dominators = self.find_dominators()
        self.emitted: set[fx.Node] = set()
        return self.between(self.source, self.sink)

    def find_dominators(self) -> dict[fx.Node, list[fx.Node]]:
        """Return for every node those through which all ways to it lead, in order."""
        assert self.source is not None
        found = {self.source: [self.source]}
        for node, inputs in self.inputs.items():
            if any(i not in found for i in inputs):
                missing = next(i for i in inputs if i not in found)
                raise self.error(missing, "it does not come from the input")
            first, *others = (found[i] for i in inputs)
            found[node] = [n for n in first if all(n in other for other in others)] + [node]
        return found

    def between(self, source: fx.Node, sink: fx.Node) -> Items:
        """Return what leads from one node to another that it dominates."""
        chain: list[Items] = []
        while sink is not source:
            if sink in self.emitted:
                raise self.error(
                    sink,
                    "what it gives is used in several places that do not meet again as branches of "
                    "one sum or concatenation",
                )
            self.emitted.add(sink)
            inputs, made = self.inputs[sink], self.found[sink]
            if isinstance(made, Fork):
                ways = [self.dominators[i] for i in inputs]
                start = [n for n in ways[0] if all(n in way for way in ways[1:])][-1]
                made.branches = [self.between(start, i) for i in inputs]
                chain.append([made])
                sink = start
            else:
                chain.append(made)
                (sink,) = inputs
        return [item for made in reversed(chain) for item in made]
