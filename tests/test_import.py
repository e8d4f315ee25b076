"""What `import backprop` brings with it, what it must not, and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import backprop

SLOW = ["matplotlib", "scipy.stats", "tqdm", "pooch", "threadpoolctl", "sklearn", "torch", "onnx"]
SLOW += ["mpi4py", "PIL", "pytest", "tensorboard"]
NOT_NEEDED = ["backprop.inspection.equations", "backprop.inspection.trace", "backprop.plots"]
NOT_NEEDED += ["backprop.application", "backprop.datasets", "backprop.gradients"]
NOT_NEEDED += ["backprop.compiled", "backprop.research", "backprop.interop", "ctypes.util"]

FLOORS = [  # a room imports only from rooms on floors below its own, and from its own room
    {"core"},
    {"kernels", "datasets"},
    {"initializers", "optimizers", "regularizers", "schedules", "metrics"},
    {"layers"},
    {"costs", "graph"},
    {"network", "compiled"},
    {"training", "gradients"},
    {"inspection"},
    {"plots", "research", "interop"},
    {"application", "zoo"},
]
PACKAGE = Path(backprop.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_cheap():
    names = SLOW + NOT_NEEDED
    code = f"import sys, backprop; print([name for name in {names} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_the_command_begins_anew_before_it_imports_what_its_commands_need():
    names = ["backprop.application.commands", "backprop.compiled", "backprop.datasets"]
    names += ["backprop.gradients", "backprop.interop"]
    code = f"""
import sys
from backprop.application import cli
print([name for name in {names} if name in sys.modules])
cli._parser()
print(all(name in sys.modules for name in {names}))
"""
    assert run(code) == "[]\nTrue\n"


def test_import_leaves_the_process_as_it_was():
    code = """
import os, sys, numpy
before = dict(os.environ), numpy.geterr(), str(numpy.random.get_state()), list(sys.path)
import backprop
after = dict(os.environ), numpy.geterr(), str(numpy.random.get_state()), list(sys.path)
print(before == after)
"""
    assert run(code) == "True\n"


def imported(source: str) -> set[str]:
    """Return the rooms of the package that a module imports, wherever in it, annotations too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = str(node.module)
            names |= (
                {f"{module}.{a.name}" for a in node.names} if module == "backprop" else {module}
            )
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("backprop.")}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


LOBBY = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}  # the way in from outside
ROOMS = [path for path in MODULES if path not in LOBBY]


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_import_runs_upwards(path: Path):
    room = room_of(path)
    rooms = imported(path.read_text(encoding="utf-8")) - {room, "__version__"}
    above = {other for other in rooms if floor_of(other) >= floor_of(room)}
    assert not above, f"{room} is on floor {floor_of(room)}"


UPSTAIRS = {  # who reaches a higher floor, when it is called and not before
    "network/network.py": {
        "inspection.summary",
        "inspection.graph_trace",
        "inspection.trace",
    },
    "network/credit.py": {"research.credit"},
    "network/programs.py": {"compiled.program", "compiled.prediction", "compiled.export"},
}


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_only_the_doors_listed_lead_upstairs(path: Path):
    calls = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if type(node) is ast.Call
    ]
    names = [getattr(call.func, "id", getattr(call.func, "attr", "")) for call in calls]
    here = path.relative_to(PACKAGE).as_posix()
    if here != "core/upstairs.py":
        assert not {"import_module", "__import__"} & set(names)
    doors = [
        call.args[0].value.removeprefix("backprop.")
        for call, name in zip(calls, names, strict=True)
        if name == "upstairs"
    ]
    assert set(doors) == UPSTAIRS.get(here, set())
    for door in doors:
        assert (PACKAGE / door.replace(".", "/")).with_suffix(".py").exists()


def test_every_room_is_on_a_floor_and_the_floors_hold_nothing_twice():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(set(rooms)) == len(rooms)
    assert {room_of(path) for path in ROOMS} <= set(rooms)


def test_imported_finds_what_it_should():
    source = """
from backprop import layers, metrics
from backprop.costs import Cost
if TYPE_CHECKING:
    from backprop.training.trainer import Trainer
def f():
    import backprop.plots
"""
    assert imported(source) == {"layers", "metrics", "costs", "training", "plots"}


def test_files_have_one_subject():
    """None is longer than about 450 lines."""
    lengths = {p.relative_to(PACKAGE): len(p.read_text("utf-8").splitlines()) for p in MODULES}
    long = {str(path): n for path, n in lengths.items() if n > 460}
    assert not long


def test_every_exported_name_is_there():
    for module in (backprop, backprop.layers):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert not isinstance(getattr(module, name), types.ModuleType)
    assert set(backprop.layers.__all__) <= set(backprop.__all__)
    assert backprop.__version__.count(".") == 2
