from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import backprop
from backprop.core.config import (
    Configurable,
    by_name,
    from_config,
    is_same_class,
    known_names,
    name_of,
)
from backprop.costs import Cost
from backprop.initializers import Initializer
from backprop.layers import Activation, Dense, Dropout, Layer, LeakyReLU, Reshape
from backprop.optimizers import Optimizer
from backprop.regularizers import Regularizer


class Part(Configurable):
    """A class of somebody else's, with arguments of every kind there is."""

    def __init__(
        self, n, scale=1.0, name="", on=False, nothing=None, shape=(1,), inner=None, rng=0
    ):
        self.n = n
        self.scale = scale
        self.name = name
        self.on = on
        self.nothing = nothing
        self.shape = tuple(shape)
        self.inner = inner
        self.rng = rng


class Bare(Configurable):
    pass


def test_every_argument_is_described_but_the_random_state():
    part = Part(3, 0.5, "a", True, None, (2, 4), Bare(), rng=7)
    description = {
        "class": f"{__name__}:Part",
        "n": 3,
        "scale": 0.5,
        "name": "a",
        "on": True,
        "nothing": None,
        "shape": [2, 4],
        "inner": {"class": f"{__name__}:Bare"},
    }
    assert part.config() == description
    twin = from_config(json.loads(json.dumps(description)))
    assert type(twin) is Part
    assert type(twin.inner) is Bare
    assert twin.shape == (2, 4)
    assert twin.rng == 0
    assert twin.config() == description


def test_numpy_numbers_become_plain():
    part = Part(np.int64(3), np.float32(0.5), on=np.bool_(True), nothing=np.dtype("float64"))
    config = part.config()
    assert [type(config[k]) for k in ("n", "scale", "on", "nothing")] == [int, float, bool, str]
    json.dumps(config)


def test_what_is_no_plain_data_is_refused():
    for value in (np.ones(3), {1, 2}, len, object()):
        with pytest.raises(TypeError, match=r"^cannot describe .* as plain data$"):
            Part(value).config()


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Part(3)) == "Part(n=3)"
    assert repr(Part(3, scale=2.0, inner=Bare())) == "Part(n=3, scale=2.0, inner=Bare())"
    assert repr(Bare()) == "Bare()"


def test_classes_of_the_package_go_by_their_bare_name():
    assert Dropout(0.5).config() == {"class": "Dropout", "p": 0.5}
    assert Dense(3, 2, LeakyReLU(0.2), dtype="float64").config() == {
        "class": "Dense",
        "n_in": 3,
        "n_out": 2,
        "activation": {"class": "LeakyReLU", "slope": 0.2},
        "w_init": {"class": "HeNormal", "slope": 0.2},
        "b_init": {"class": "Zeros"},
        "dtype": "float64",
    }
    assert from_config({"class": "Reshape", "shape": [2, -1]}).shape == (2, -1)


def test_no_two_classes_share_a_name():
    def subclasses(cls):
        for sub in cls.__subclasses__():
            yield sub
            yield from subclasses(sub)

    ours = {cls for cls in subclasses(Configurable) if cls.__module__.split(".")[0] == "backprop"}
    assert {Dense, Reshape, Layer, backprop.SGD, backprop.L2} <= ours
    for cls in ours:
        assert Configurable._registry[cls.__qualname__] is cls


def test_a_class_elsewhere_cannot_take_a_name_of_the_package():
    class Dropout(Configurable):
        pass

    assert Dropout().config()["class"].startswith(f"{__name__}:")
    assert type(from_config({"class": "Dropout", "p": 0.25})) is backprop.Dropout


@pytest.mark.parametrize("description", [None, [], "Dense", {}, {"class": 3}, {"n": 3}])
def test_no_description(description):
    with pytest.raises(ValueError, match=r"^not a description of an object: "):
        from_config(description)


def test_unknown_classes_and_arguments():
    for name in ("Dens", "dense", "numpy:ndarray", "os:system", "builtins:eval", "__main__:Denser"):
        with pytest.raises(ValueError, match=rf"^unknown class '{name}'.* import the module that"):
            from_config({"class": name})
    with pytest.raises(ValueError, match=r"^unknown class 'Dens', did you mean 'Dense'\?"):
        from_config({"class": "Dens"})
    with pytest.raises(ValueError, match=r"^Dropout takes no argument q, r$"):
        from_config({"class": "Dropout", "r": 1, "q": 0.5, "p": 0.5})
    with pytest.raises(ValueError, match=r"^Dropout takes no argument rng$"):
        from_config({"class": "Dropout", "rng": 0})
    with pytest.raises(ValueError, match=rf"^{__name__}:Bare takes no argument n$"):
        from_config({"class": f"{__name__}:Bare", "n": 1})
    with pytest.raises(ValueError, match="unknown class 'Nothing'"):  # however deep
        from_config({"class": "Reshape", "shape": [{"class": "Nothing"}]})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'n'"):
        from_config({"class": f"{__name__}:Part"})


class Kind(Configurable):
    pass


class FirstSort(Kind):
    pass


class SecondSort(FirstSort):
    pass


class _Hidden(Kind):
    pass


@pytest.mark.parametrize(
    "name", ["SecondSort", "second_sort", "second-sort", "secondsort", "SECOND_SORT"]
)
def test_by_name(name: str):
    assert type(by_name(Kind, name)) is SecondSort


@pytest.mark.parametrize("name", ["third", "", "Kind", "hidden", "_Hidden", "second sort"])
def test_by_name_lists_the_names_there_are(name: str):
    with pytest.raises(
        ValueError, match=rf"^unknown kind '{name}': choose from first_sort, second_sort"
    ):
        by_name(Kind, name)


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        (Initializer, "he", "he_normal"),
        (Initializer, "glorot", "glorot_normal"),
        (Activation, "leaky", "leaky_relu"),
        (Cost, "softmax", "softmax_cross_entropy"),
        (Cost, "entropy", "cross_entropy"),
        (Optimizer, "adm", "adam"),
    ],
)
def test_a_part_of_a_name_is_answered_with_the_whole(base: type, name: str, meant: str):
    with pytest.raises(ValueError, match=rf"did you mean '{meant}'\?$"):
        by_name(base, name)


def test_an_argument_that_was_not_kept_is_named_and_how_to_keep_it():
    class Forgets(Configurable):
        def __init__(self, kept=1, lost=2):
            self.kept = kept

    message = r"^Forgets .* not kept its argument 'lost': set self\.lost = lost in its __init__$"
    with pytest.raises(AttributeError, match=message):
        Forgets().config()


@pytest.mark.parametrize(
    ("base", "names"),
    [
        (Cost, "quadratic squared_error mean_squared_error cross_entropy softmax_cross_entropy"),
        (Optimizer, "sgd momentum nesterov rmsprop adam adamw"),
        (Activation, "identity sigmoid tanh relu leaky_relu elu gelu silu softplus softmax"),
        (Initializer, "normal nielsen lecun_normal lecun_uniform glorot_normal glorot_uniform "
            "he_normal he_uniform orthogonal zeros constant"),
        (Regularizer, "l1 l2"),
    ],
)  # fmt: skip
def test_the_names_of_the_package_are_those_of_the_literature(base: type, names: str):
    ours = {cls for cls in Configurable._registry.values() if issubclass(cls, base)}
    ours = {cls for cls in ours if cls.__module__.startswith("backprop.")} - {base}
    ours = {cls for cls in ours if not cls.__module__.startswith("backprop.research.")}
    ours -= {backprop.WeightedCosts}  # made of several
    public = {cls for cls in ours if not (cls.__name__.startswith("_") or inspect.isabstract(cls))}
    assert {name_of(cls) for cls in public} == set(names.split())
    assert known_names(base) == sorted(known_names(base))
    with_defaults = public - {backprop.L1, backprop.L2}
    assert set(known_names(base)) >= {name_of(cls) for cls in with_defaults}
    assert "weighted_costs" not in known_names(base)
    for cls in with_defaults:
        assert type(by_name(base, name_of(cls))) is cls


class Cell(Configurable):
    pass


def test_of_two_classes_of_one_name_the_last_counts():
    """As when a cell of a notebook is run again."""
    first, second = (type("Again", (Cell,), {}) for _ in range(2))
    assert Cell.__subclasses__() == [first, second]
    assert type(by_name(Cell, "again")) is second
    assert known_names(Cell) == ["again"]


def test_a_name_of_the_package_is_its_own_class_whatever_others_are_called():
    ours = type("Known", (Kind,), {"__module__": "backprop.layers.somewhere"})
    assert [type("Known", (Kind,), {}) for _ in range(2)] == Kind.__subclasses__()[-2:]
    assert type(by_name(Kind, "known")) is ours


# -- numbers that are not finite, and classes that are elsewhere ----------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float32(np.inf)])
def test_arguments_that_are_not_finite_are_strict_json(value):
    text = json.dumps(Part(1, value, shape=(1.5, value)).config(), allow_nan=False)
    again = from_config(json.loads(text))
    np.testing.assert_array_equal(again.scale, float(value))
    np.testing.assert_array_equal(again.shape[1], float(value))
    assert type(again.scale) is float


@pytest.mark.parametrize("name", ["Infinity", "inf"])
def test_infinity_is_read_by_the_names_of_json_and_of_python(name):
    config = {"class": f"{__name__}:Part", "n": 1, "scale": {"class": "float", "value": name}}
    assert from_config(config).scale == np.inf


@pytest.mark.parametrize("value", ["1.5", 3, None, [], "infinity"])
def test_no_other_number_is_written_like_that(value):
    with pytest.raises((KeyError, TypeError)):
        from_config({"class": f"{__name__}:Part", "n": {"class": "float", "value": value}})


class Elsewhere(Configurable):
    def __init__(self, n=1, inner=None):
        self.n = n
        self.inner = inner


@pytest.mark.parametrize(
    "classes",
    [
        [Elsewhere],
        (Elsewhere, Bare),
        {"Elsewhere": Elsewhere},
        {"gone.away:Elsewhere": Elsewhere},
        iter([Elsewhere]),
    ],
)
def test_classes_that_are_given_are_found_in_whatever_module_they_were(classes):
    inner = {"class": "gone.away:Elsewhere", "n": 3}
    made = from_config({"class": "gone.away:Elsewhere", "inner": [inner]}, classes)
    assert (type(made), type(made.inner[0]), made.inner[0].n) == (Elsewhere, Elsewhere, 3)


def test_a_class_of_a_script_that_was_run_is_the_one_of_its_module():
    made = from_config({"class": "__main__:Elsewhere", "n": 2})
    assert (type(made), made.n) == (Elsewhere, 2)
    with pytest.raises(ValueError, match=r"unknown class 'other:Elsewhere': import the module"):
        from_config({"class": "other:Elsewhere"})


def test_an_unknown_class_says_how_to_give_it():
    with pytest.raises(ValueError, match=r"give the class itself, load\(path, classes=\[Mine\]\)"):
        from_config({"class": "__main__:f.<locals>.Mine"})


def test_no_class_that_is_given_takes_the_place_of_one_of_the_package():
    class Dropout(Configurable):
        pass

    assert type(from_config({"class": "Dropout"}, [Dropout])) is backprop.Dropout


@pytest.mark.parametrize("classes", [3, "Elsewhere", Elsewhere, [3], {"a": int}, [Elsewhere()]])
def test_classes_are_classes(classes):
    with pytest.raises(TypeError, match=r"^classes must be "):
        from_config({"class": "m:Elsewhere"}, classes)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("m:A", "m:A", True),
        ("__main__:A", "m:A", True),
        ("m:A", "__main__:A", True),
        ("m:A", "n:A", False),
        ("__main__:A", "m:B", False),
        ("__main__:Dense", "Dense", False),
        ("Dense", "Dense", True),
    ],
)
def test_is_same_class(one, other, same):
    assert is_same_class(one, other) is same
