"""The part of a network that says how errors go back through it: by the chain rule, or another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.assignment import OnAssignment
from backprop.core.upstairs import upstairs
from backprop.layers.base import Layer
from backprop.network.checked import Checked

OF_RULE = "credit."  # how the arrays of a rule are called in the state of its network


class Credited(Checked):
    """The part of a network that has a credit rule; see `Network` and `backprop.research.credit`.

    A rule is on a higher floor. What is asked of it here is `join` (the layers of a network),
    `begin` (a pass back), `state`, `checked_state` and `take_state`, `astype`, `redraw`, `rngs`
    and `exact`.
    """

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Yield every layer, and the layers inside it, each with its name."""
        raise NotImplementedError

    @OnAssignment
    def credit(self, credit: Any) -> None:
        """The rule by which errors go back, a `CreditRule` or its name; None: the chain rule.

        May be assigned. A rule that is another network's already is copied. Refused, with nothing
        changed, if it cannot go through the network.
        """
        rules: Any = None
        if credit is not None:
            rules = upstairs("backprop.research.credit")
            credit = rules.rule_for(self, credit)
        for _, layer in self.root.walk():
            layer.feedback = None
        vars(self)["credit"] = credit
        if credit is not None:
            credit.join(self)

    def credit_from(self, config: Any, classes: Any) -> None:
        """Let the rule be the one that its `config` described, with arrays freshly drawn."""
        if config is not None:
            rules = upstairs("backprop.research.credit")
            self.credit = rules.from_config(config, classes)

    def generators(self) -> list[np.random.Generator | None]:
        """Return what the layers, in the order of `walk`, and then the rule draw from."""
        found = [layer.rng for _, layer in self.walk()]
        return found if self.credit is None else [*found, *self.credit.rngs]

    def check_exact(self, owner: str) -> None:
        """Raise a ValueError if a rule makes something else than the gradient of a pass back."""
        if self.credit is not None and not self.credit.exact:
            raise ValueError(
                f"{owner}: network.credit is {self.credit}, by which the pass back is by design "
                "not the gradient of the cost: take a copy of the network, and let its credit be "
                "None"
            )

    def of_rule(self, arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Any]:
        """Return the arrays of a state that are the layers', and those of the rule, checked."""
        rest = {name: one for name, one in arrays.items() if not name.startswith(OF_RULE)}
        own = {name.removeprefix(OF_RULE): arrays[name] for name in arrays.keys() - rest.keys()}
        if self.credit is None:
            if own:
                raise ValueError(f"the state has arrays of a credit rule: {sorted(own)}")
            return rest, None
        return rest, self.credit.checked_state(own)
