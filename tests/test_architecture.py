"""The picture of the house, held: who imports whom, what is public, what an import costs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import glasses_sdk

PACKAGE = Path(glasses_sdk.__file__).parent

# From the ground up; a room imports from its own floor and from those below.
FLOORS = (
    {"errors", "types"},
    {
        *("protocols", "geometry", "crop", "gaze_map", "belief", "landing", "tracker", "wire"),
        *("network", "models", "precision", "annotations", "turning"),
        *("looks", "sighting", "sliding", "track", "trials", "salient"),
    },
    {
        *("transport", "evaluation", "tracking", "sensors", "gaze", "calibration", "viewer"),
        "simulation",
    },
    {"backends", "config"},
    {"pipeline", "bench", "doctor"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
TRAINING_MAY = {
    *("types", "errors", "geometry", "crop", "annotations", "network", "evaluation", "training"),
    "sighting",  # regions that masks lead to are those that the tracker would come to
}
# What keeps the Sensor contract; the other modules of `sensors` are what these are made of.
SENSORS = {"sensors.imx500", "sensors.host", "sensors.isolated"}
# What gaze sources may stand on.
SHARED = {"gaze.events", "gaze.guard", "gaze.address", "gaze.poses", "gaze.neon_recording"}

# What numpy, pyzmq and msgspec bring with them is theirs.
LIGHT_LIBRARIES = {"numpy", "zmq", "msgspec"}
HEAVY_LIBRARIES = {
    *("cv2", "onnxruntime", "torch", "filterpy", "scipy", "matplotlib"),
    *("picamera2", "pycocotools", "typer", "rich", "pylsl"),
}
HEAVY_NAMES = {"Config", "Pipeline", "RoiTracker", "load_config"}  # the tracker brings OpenCV


class Import(NamedTuple):
    """`lazy`: inside a function."""

    source: str
    target: str
    lazy: bool


def module_name(path: Path) -> str:
    """Inside the package: `sensors.host`; a folder's `__init__` is the folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, text: str) -> list[Import]:
    """What a module imports from this package, at its top, in functions, or for its types."""
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool) -> None:
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        found.extend(Import(source, target, lazy) for target in targets(node))
        for child in ast.iter_child_nodes(node):
            visit(child, lazy)

    visit(ast.parse(text), False)
    return found


def targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written in full"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    inside = [name.partition(".")[2] for name in names if name.split(".")[0] == "glasses_sdk"]
    return [known_part(name) for name in inside]


def known_part(name: str) -> str:
    """The module that holds this name: `types.Roi` is in `types`."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def room(module: str) -> str:
    return module.partition(".")[0]


def climbs(one: Import) -> bool:
    """Reaches up the house, or out of what training may use."""
    source, target = room(one.source), room(one.target)
    if source == "training":
        return target not in TRAINING_MAY
    if target == "training":
        return not (source == "cli" and one.lazy)
    return target not in FLOOR or FLOOR.get(source, 0) < FLOOR[target]


def couples(one: Import) -> bool:
    """Joins two backends, or the sensors with the gaze."""
    source, target = room(one.source), room(one.target)
    if one.source == one.target or (source == "gaze" and one.target in SHARED):
        return False
    if {source, target} == {"sensors", "gaze"} or source == target == "gaze":
        return True
    return one.source in SENSORS and one.target in SENSORS


IMPORTS = [
    one
    for module, path in MODULES.items()
    if module  # the package's own face is not part of the house
    for one in imports(module, path.read_text())
]


def test_every_module_has_its_place():
    rooms = {room(module) for module in MODULES if module}
    assert rooms - {"training"} <= FLOOR.keys()


def test_nothing_imports_from_above():
    assert [one for one in IMPORTS if climbs(one)] == []


def test_backends_never_import_one_another():
    assert [one for one in IMPORTS if couples(one)] == []


def test_no_module_waits_for_itself():
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in IMPORTS:
        if one.source != one.target:
            graph[one.source].add(one.target)
    TopologicalSorter(graph).prepare()  # CycleError names the circle


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("types", "from glasses_sdk.geometry import visible"),
        ("geometry", "import glasses_sdk.transport"),
        ("crop", "def f():\n    from glasses_sdk import evaluation"),
        ("sensors.host", "if TYPE_CHECKING:\n    from glasses_sdk.backends import open_sensor"),
        ("evaluation", "from glasses_sdk.training.data import Regions"),
        ("cli", "from glasses_sdk.training import train"),
        ("training.data", "from glasses_sdk.tracker import RoiTracker"),
        ("wire", "from glasses_sdk import Mask"),
    ],
)
def test_a_wrong_import_is_seen(module, text):
    assert any(climbs(one) for one in imports(module, text))


def test_training_is_reached_from_inside_the_command_line():
    (one,) = imports("cli", "def run():\n    from glasses_sdk.training import train")
    assert not climbs(one)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("gaze.replay", "def f():\n    from glasses_sdk.gaze.centre import Centre"),
        ("sensors.isolated", "from glasses_sdk.sensors.host import HostSensor"),
        ("sensors.host", "import glasses_sdk.gaze.centre"),
    ],
)
def test_coupled_backends_are_seen(module, text):
    assert any(couples(one) for one in imports(module, text))


# The public names


def test_each_public_name_is_what_its_module_gives():
    for name in glasses_sdk.__all__:
        value = getattr(glasses_sdk, name)
        if name != "__version__":
            assert value is getattr(importlib.import_module(value.__module__), name)


def test_the_public_names_are_those_promised_to_the_type_checker():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (promised,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.name
        for node in promised.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names | {"__version__"} == set(glasses_sdk.__all__)
    assert len(glasses_sdk.__all__) == len(set(glasses_sdk.__all__))


def test_every_error_is_public():
    from glasses_sdk import errors

    assert set(errors.__all__) <= set(glasses_sdk.__all__)


def test_what_is_visible_is_public():
    assert set(glasses_sdk.__all__) <= set(dir(glasses_sdk))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'glasses_sdk' has no attribute 'Frame'"):
        _ = glasses_sdk.Frame


@pytest.mark.parametrize("module", [name for name in MODULES if name and "." not in name])
def test_no_public_name_hides_a_module(module):
    assert module not in glasses_sdk.__all__
    assert isinstance(getattr(glasses_sdk, module, glasses_sdk), ModuleType)


def test_the_version_is_the_installed_one():
    try:
        installed = importlib.metadata.version("glasses-sdk")
    except importlib.metadata.PackageNotFoundError:
        installed = "0+checkout"
    assert glasses_sdk.__version__ == installed


# What an import costs


def loaded(program: str) -> set[str]:
    """The libraries beyond the standard one that a fresh interpreter has after `program`."""
    say = (
        "import sys; before = set(sys.modules)\n"
        f"{program}\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    run = subprocess.run(
        [sys.executable, "-c", say],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_the_import_alone_loads_nothing_at_all():
    assert loaded("import glasses_sdk") == {"glasses_sdk"}


def test_the_light_names_load_numpy_pyzmq_and_msgspec_only():
    names = set(glasses_sdk.__all__) - HEAVY_NAMES
    program = "import glasses_sdk\n" + "\n".join(f"glasses_sdk.{name}" for name in sorted(names))
    libraries = loaded(program)
    assert not libraries & HEAVY_LIBRARIES
    own = {name for name in libraries if not name.startswith("_")}
    assert own - LIGHT_LIBRARIES - {"glasses_sdk"} <= loaded("import numpy, zmq, msgspec")


@pytest.mark.parametrize(
    ("program", "library"),
    [
        ("import glasses_sdk.crop", "cv2"),
        ("import glasses_sdk.network", "onnxruntime"),
        ("import glasses_sdk; glasses_sdk.RoiTracker", "cv2"),
    ],
)
def test_a_heavy_library_is_seen_where_it_is_loaded(program, library):
    assert library in loaded(program)
