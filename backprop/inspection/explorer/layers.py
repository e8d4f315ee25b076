"""The layers of a page: the steps that each has, and what is known of it.

The steps are the sections of the printed trace. Of a layer that ends in an activation every
equation is a step, whose role says what it gives; the page fills those of neurons and
convolutions in for a single number. All other layers have a step a pass, with all their equations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from backprop.inspection import elements
from backprop.inspection.alphabet import UNICODE
from backprop.inspection.equations.base import EQUATIONS, equations_of, symbol
from backprop.inspection.explorer import targets
from backprop.inspection.explorer.arrays import Arrays
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation, Kernels, Section, inline, sentence
from backprop.layers import (
    Activation,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    TimeDistributed,
)
from backprop.layers.recurrent.base import Recurrent

KINDS = {  # layers whose equations are a step each
    Dense: "dense",
    Conv1d: "convolution",
    Conv2d: "convolution",
    ConvTranspose1d: "transposed",
    ConvTranspose2d: "transposed",
    Activation: "activation",
}
ROLES = {"BP1": "delta", "BP2": "delta", "BP3": "nabla_b", "BP4": "nabla_w"}
FILLED_IN = {  # by the scripts, which need no formula of ours
    "dense": {"z", "a", "delta", "nabla_b", "nabla_w", "down"},
    "convolution": {"z", "a", "delta", "nabla_b", "nabla_w", "down"},
    "transposed": {"a", "delta"},
    "activation": {"a", "delta"},
}
OF_LAYER = ("a_prev", "z", "a", "sigma_prime", "nabla_a", "delta", "downstream")


class LayerPage:
    """What a page says of layers, while it is made.

    Parameters
    ----------
    layers : sequence of LayerTrace
        With those inside them.
    batch : int
    image_shape : (height, width), optional
        Of the input, if it is the numbers of an image in one axis.
    canonical : dict of str to int
        By the names of the layers whose delta is that of a canonical pair, which cost it is.
    """

    def __init__(
        self,
        layers: Sequence[LayerTrace],
        batch: int,
        image_shape: tuple[int, ...] = (),
        canonical: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.batch, self.image_shape, self.canonical = batch, image_shape, canonical
        self.arrays = Arrays(batch)
        self.traced = [t for layer in layers for t in layer.walk()]
        self.by_name = {t.name: t for t in self.traced}
        self.numbers = {t.name: number for number, t in enumerate(self.traced)}
        self.by_step = _names_inside_time(self.traced)
        self.of_no_example = [array for t in self.traced for array in _parameters_of(t)]

    def packed(
        self,
        kind: str,
        title: str,
        x: int,
        layers: Sequence[Any],
        costs: Sequence[Any],
        steps: Sequence[Any],
        names: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """Return all that the page shows, as plain data, with the arrays that have been added."""
        arrays, examples = self.arrays.packed()
        return {
            "kind": kind,
            "title": title,
            "batch": self.batch,
            "examples": examples,
            "names": names,
            "x": x,
            "layers": layers,
            "costs": costs,
            "steps": steps,
            "arrays": arrays,
        }

    # -- arrays ------------------------------------------------------------------------------

    def by_example(self, array: np.ndarray, name: str) -> int:
        """Return the place of an array that has the batch last."""
        if name in self.by_step or array.shape[-1] != self.batch:  # step by step, in one axis
            array = array.reshape(*array.shape[:-1], -1, self.batch)
        return self.arrays.add(array, True, self._image_shape_of(array.shape[:-1]))

    def of_all(self, array: np.ndarray) -> int:
        """Return the place of an array that is the same for all examples."""
        return self.arrays.add(array, False, self._image_shape_of(array.shape[1:]))

    def _image_shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return height and width, if the numbers of that shape are those of the input."""
        pixels = self.image_shape
        return pixels if pixels and shape == (pixels[0] * pixels[1],) else ()

    def result(self, array: np.ndarray, name: str) -> int:
        """Return the place of what an equation of a layer gives."""
        inside = name in self.by_step or isinstance(self.by_name[name].layer, TimeDistributed)
        steps = inside and array.ndim and array.shape[-1] % self.batch == 0
        if not self.is_of_all(array) and array.ndim and (array.shape[-1] == self.batch or steps):
            return self.by_example(array, name)
        return self.of_all(array)

    def is_of_all(self, array: np.ndarray) -> bool:
        """Say whether an array is a parameter, or the gradient of one."""
        return any(np.may_share_memory(array, other) for other in self.of_no_example)

    # -- layers ------------------------------------------------------------------------------

    def layer(self, t: LayerTrace) -> dict[str, Any]:
        kind = kind_of(t)
        found: dict[str, Any] = {
            "name": t.name,
            "title": getattr(t.layer, "title", None) or repr(t.layer),
            "kind": "container" if t.children else kind or "other",
            "sup": UNICODE.superscript(t.superscript),
            "inside": t.name.rpartition(".")[0] or None,
            "steps": t.name in self.by_step,
            "parameters": {name: self.of_all(p) for name, p in t.parameters.items()},
            "gradients": {name: _path_of_gradient(name, t) for name in t.gradients},
        }
        for name in OF_LAYER:
            array = getattr(t, name)
            if array is not None and isinstance(array, np.ndarray):
                found[name] = self.by_example(array, t.name)
        if kind == "convolution":
            windows = t.layer.windows
            found["windows"] = {
                "stride": list(windows.stride),
                "dilation": list(windows.dilation),
                "front": [front for front, _ in windows.pads(t.a_prev.shape[1:-1])],
                "groups": t.layer.groups,
            }
        activation = t.layer.own_activation
        if kind and activation is not None:
            found["sigma"] = targets.sigma_of(activation)
        return found

    # -- steps -------------------------------------------------------------------------------

    def steps_of(self, section: Section) -> Iterator[dict[str, Any]]:
        """Yield the steps of one section: one for every equation, or one for all."""
        t = self.by_name[section.layer]
        way = "forward" if section.part in ("forward", "output") else "backward"
        base = {
            "way": way,
            "layer": self.numbers[t.name],
            "title": section.title,
        }
        if isinstance(t.layer, Recurrent):
            yield from self._steps_in_time(section, t, base)
            return
        if t.children or kind_of(t) is None:
            label = way if section.part in ("forward", "backward") else section.part
            yield {**base, "role": "all", "label": label, **self.shown(section, t)}
            return
        words: list[str] = []
        found: list[dict[str, Any]] = []
        for item in section.items:
            if isinstance(item, str):
                words.append(sentence(item, UNICODE))
                continue
            one = replace(section, items=(item,), given=())
            role = self.role(item, t)
            filled = role["role"] in FILLED_IN.get(kind_of(t) or "", ())
            shown = self.shown(one, t, with_formulas=not filled)
            found.append({**base, **role, **shown, "words": words})
            words = []
        if words:  # nothing to learn, or frozen
            found.append({**base, "role": "words", "label": "note", "words": words, "shown": []})
        yield from found

    def _steps_in_time(
        self, section: Section, t: LayerTrace, base: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield one step of the page for every time step, and one for all gradients."""
        groups: dict[str, list[Equation | str]] = {}
        words = [item for item in section.items if isinstance(item, str)]
        for equation in (item for item in section.items if isinstance(item, Equation)):
            groups.setdefault(_label_in_time(equation), []).append(equation)
        for label, equations in groups.items():
            told = words if label.startswith("t =") else []
            one = replace(section, items=(*told, *equations), given=())
            title = f"{section.title}, {label}"
            yield {**base, "title": title, "role": "all", "label": label, **self.shown(one, t)}

    def role(self, equation: Equation, t: LayerTrace) -> dict[str, Any]:
        """Return what a step of a layer of `KINDS` gives, and how that is made."""
        texts = [UNICODE.text(part) for part in equation.formula]
        if equation.tag:
            role = ROLES[equation.tag]
            found: dict[str, Any] = {"role": role, "label": equation.tag}
            if role == "delta":
                found |= self._arriving(equation, t)
            return found
        if equation.left == symbol("z", t.superscript):
            named = [text for text in texts if text not in ("+", "⋆", "∗")]
            symbols = dict(zip(("w", "a_prev", "b"), named, strict=False))
            if kind_of(t) == "activation":
                symbols = {"a_prev": named[0]}
            return {"role": "z", "label": "z", "symbols": symbols}
        if equation.left == symbol("a", t.superscript):
            return {"role": "a", "label": "a"}
        is_sent_down = t.downstream is not None and equation.result is t.downstream
        return {"role": "down", "label": "wᵀδ"} if is_sent_down else {"role": "all", "label": "Σ"}

    def cost_step(self, section: Section, number: int) -> dict[str, Any]:
        """Return the step that shows a cost, given its number."""
        words = [sentence(word, UNICODE) for word in section.sentences]
        shown = []
        for equation in section.equations:
            one: dict[str, Any] = {
                "tag": "",
                "left": UNICODE.text(equation.left),
                "formula": inline(equation.formula, UNICODE),
                "result": self._cost_result(equation),
            }
            if equation.made is not None:
                one |= {"made": self.plain(equation.made, "", {}), "python": "nabla_a"}
            shown.append(one)
        return {
            "way": "cost",
            "layer": -1,
            "role": "cost",
            "cost": number,
            "label": "C",
            "title": section.title,
            "words": words,
            "shown": shown,
        }

    def _cost_result(self, equation: Equation) -> int:
        array = array_of(equation)
        by_example = array.ndim > 0 and array.shape[-1] == self.batch
        return self.arrays.add(array[0] if equation.left == "C_{x}" else array, by_example)

    def _arriving(self, equation: Equation, t: LayerTrace) -> dict[str, Any]:
        """Return where the first factor of BP1 or BP2 comes from."""
        if t.name in self.canonical:
            return {"arrives": "canonical", "cost": self.canonical[t.name]}
        deltas = {symbol(r"\delta", other.superscript): other for other in self.traced}
        for part in equation.formula:
            if part in deltas:
                return {"arrives": "above", "above": self.numbers[deltas[part].name]}
        given = next((p for p in equation.formula if "partial" in p or "nabla" in p), "")
        return {"arrives": "given", "arrivingSymbol": UNICODE.text(given)}

    def shown(self, section: Section, t: LayerTrace, with_formulas: bool = True) -> dict[str, Any]:
        """Return words and equations of a section, each with the place of its result.

        With each goes the formula of a single number, where one is known, and with all of them the
        arrays that these are made of and that are not shown as a result.
        """
        own = [item for item in section.items if isinstance(item, Equation)]
        left = {equation.left for equation in own}
        given = [equation for equation in section.given if equation.left not in left]
        shown = []
        used: dict[int, str] = {}
        for equation in (*given, *own):
            array = array_of(equation)
            one: dict[str, Any] = {
                "tag": equation.tag,
                "left": UNICODE.text(equation.left),
                "formula": inline(equation.formula, UNICODE),
                "result": self.result(array, t.name),
            }
            made = self.made(equation) if with_formulas else None
            if made is not None:
                one |= {"made": self.plain(made, t.name, used), "python": _python_name(array, t)}
            shown.append(one)
        results = {one["result"] for one in shown}
        return {
            "words": [sentence(w, UNICODE) for w in section.sentences],
            "shown": shown,
            "used": [[place, name] for place, name in used.items() if place not in results],
        }

    def made(self, equation: Equation) -> elements.Term | None:
        """Return how a number of an equation is made; None if it is given, or that is not known."""
        if equation.made is not None or not equation.formula:
            return equation.made
        return elements.out_of_numbers(equation.formula, equation.numbers, self.is_of_all)

    def plain(self, made: elements.Term, name: str, used: dict[int, str]) -> Any:
        """Return a formula of the layer of that name as plain data, and note what it uses."""

        def place_of(array: elements.Array) -> list[Any]:
            values = array.values
            place = self.by_example(values, name) if array.by_example else self.of_all(values)
            text = UNICODE.text(array.symbol)
            used.setdefault(place, text)
            return [place, text]

        return elements.as_plain(made, place_of)


def kind_of(t: LayerTrace) -> str | None:
    """Return the kind of a layer whose equations are a step each."""
    if t.children:
        return None
    equations = equations_of(t.layer)
    return next((kind for base, kind in KINDS.items() if EQUATIONS.get(base) is equations), None)


def _label_in_time(equation: Equation) -> str:
    """Return the label of the group, a time step or a pass, that an equation is shown in."""
    if equation.tag in ("BP3", "BP4"):
        return "BP3, BP4"
    if "partial" in equation.left:
        return "\N{PARTIAL DIFFERENTIAL}C/\N{PARTIAL DIFFERENTIAL}a"
    step = re.search(r"_\{(\d+)\}$", equation.left)
    return f"t = {step[1]}" if step else "all steps"


def array_of(equation: Equation) -> np.ndarray:
    """Return what an equation gives, as an array."""
    result = equation.result
    return result.array if isinstance(result, Kernels) else np.asarray(result)


def _python_name(array: np.ndarray, t: LayerTrace) -> str:
    """Return how Python finds an array in the trace of a layer; "" if it is no attribute."""
    for name in OF_LAYER:
        if getattr(t, name) is array:
            return name
    for name, gradient in t.gradients.items():
        if gradient is array:
            return f'gradients["{name}"]'
    return ""


def _path_of_gradient(name: str, t: LayerTrace) -> str:
    """Return how Python finds what a layer itself gives to the gradient of a parameter."""
    return f'shared_with["{name}"][0].gradient' if name in t.shared_with else f'gradients["{name}"]'


def _parameters_of(t: LayerTrace) -> Iterator[np.ndarray]:
    """Yield the arrays of a layer that are the same for all examples."""
    yield from t.parameters.values()
    yield from t.gradients.values()
    for shared in t.shared_from.values():
        yield shared.gradient
    for parts in t.shared_with.values():
        for part in parts:
            yield part.gradient
    if isinstance(t.layer, BatchNorm):
        yield from (t.layer.mu, t.layer.deviation, t.layer.running_variance)


def _names_inside_time(traced: Sequence[LayerTrace]) -> set[str]:
    """Return the names of layers for which the steps of all examples are one batch."""
    return {
        inside.name
        for t in traced
        if isinstance(t.layer, TimeDistributed)
        for child in t.children
        for inside in child.walk()
    }
