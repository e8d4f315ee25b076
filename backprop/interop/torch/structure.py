"""What a module of PyTorch is made of, as a tree: chains of modules, and branches that meet again.

An nn.Sequential is a chain as it stands. A module with a forward of its own is traced by torch.fx,
which runs it once on a stand-in for the input and notes what is called; functions, such as
``F.relu``, become the modules that do the same. Where a value goes to several places that meet in
a sum or a concatenation, the ways between are branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backprop.core.extras import needs
from backprop.interop.torch import graphs, modules
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.interop.torch.functions import (
    CALLS,
    JOINS,
    WITH_ARGUMENTS,
    is_in_place,
    is_of_shape,
    items_of_call,
    joined_values,
    name_of_call,
    shares_memory,
)
from backprop.interop.torch.tracer import as_base, is_leaf, trace

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
    module = as_base(module)
    kind: Any = type(module)
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


def changes_its_input(module: nn.Module) -> bool:
    """Say whether a module writes into the tensor that it is given, as nn.ReLU(inplace=True)."""
    if type(module).forward is nn.Sequential.forward:
        for child in module.children():
            if changes_its_input(child):
                return True
            if not shares_memory(child):
                break
        return False
    if is_leaf(module):
        return bool(getattr(module, "inplace", False))
    try:
        return Traced(module, "").changes_its_input
    except NoCounterpartError:  # which is said when its turn comes
        return False


def is_whole(module: nn.Module) -> bool:
    """Say whether a module is converted by itself: not if what it writes into may be used again."""
    if type(module).forward is nn.Sequential.forward:
        return not changes_its_input(module)
    return is_leaf(module)


class Traced:
    """A module with a forward of its own, traced: what is computed from what.

    What has no counterpart raises a NoCounterpartError that names the submodule and the call.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        graph = trace(module, name, True, is_whole)
        in_evaluation = list(trace(module, name, False, is_whole).nodes)
        nodes = list(graph.nodes)
        if [(n.op, str(n.target)) for n in nodes] != [(n.op, str(n.target)) for n in in_evaluation]:
            raise self.error("", "its forward does something else in training")
        self.twins = dict(zip(nodes, in_evaluation, strict=True))
        self.alias: dict[fx.Node, fx.Node] = {}
        self.memory: dict[fx.Node, fx.Node] = {}  # whose a node's memory may be, if not its own
        self.position = {node: index for index, node in enumerate(nodes)}
        self.changes_its_input = False
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
        in_place = is_in_place(node, self.called(node))
        if node.op == "get_attr" or is_of_shape(node) or not (node.users or in_place):
            return
        if self.of_recurrent(node):
            return
        name = name_of_call(node)
        if name in JOINS and node.op != "call_module":
            self.join(node, JOINS[name])
        elif node.op == "call_module":
            self.call(node)
        else:
            self.call_function(node, name)
        first = self.inputs[node][0]
        if in_place or shares_memory(self.called(node) or name):
            self.memory[node] = self.memory.get(first, first)
        if in_place:
            self.change(first, node)

    def change(self, value: fx.Node, node: fx.Node) -> None:
        """Let what is used of a value from here on be what a node has written into it."""
        root = self.memory[node]
        self.changes_its_input |= root is self.source
        for other in (root, *(n for n, of in self.memory.items() if of is root)):
            later = [user for user in other.users if self.position[user] > self.position[node]]
            if other not in (value, node) and other not in self.alias and later:
                raise self.error(
                    node,
                    f"it writes into the memory of {other.name}, which is used again after it: "
                    "let it not work in place",
                )
        self.alias[value] = node

    def call_function(self, node: fx.Node, name: str) -> None:
        """Note the call of a function or of a tensor's method."""
        if name not in CALLS and name not in WITH_ARGUMENTS:
            raise self.error(node, "it has no counterpart here")
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
        values, dim = joined_values(node, join)
        if not all(isinstance(value, fx.Node) and not is_of_shape(value) for value in values):
            raise self.error(node, "a constant, or a tensor that no module computes, is added")
        if node.kwargs.get("alpha", 1) != 1:
            raise self.error(node, "with an alpha it has no counterpart")
        self.inputs[node] = [self.value(value) for value in values]
        self.found[node] = Fork(self.place(node), [], join, dim)

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
        if recurrent in self.alias:
            raise self.error(node, "the outputs were changed in place, and its states are not")
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
                raise self.error(missing, "a tensor that no module computes has no counterpart")
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
