"""The rules of the house that a machine can see."""

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

import partita
from partita.backend import engine

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "partita"
FILES = sorted(PACKAGE.rglob("*.py"))
SILENT_NAMES = {"utils", "util", "misc", "core", "base", "helpers", "helper", "common"}
FREE_TO_IMPORT = {"__init__", "cli", "tour"}
OPEN_TO_ALL = {"backend", "callbacks", "cli", "convergence", "data", "extras", "files", "kernels"}
OPEN_TO_ALL |= {"layer_loss", "progress", "quoting", "types", "version", "waiting"}
ROOMS = {"backend", "callbacks", "cli", "data", "files", "tour"}  # open to all parts, and the tour of them
HANDS_OVER = {("reactions", "ode")}
WITHOUT_KERAS = {"reactions"}
# Inner loops, whose arrays are handed over one by one: Numba counts those of a tuple at each use. And `fit`,
# whose arguments are Keras's.
CROWDED = {
    "reactions/analysis/elimination.py: _eliminate",
    "reactions/analysis/uniformization.py: _jump",
}
CROWDED |= {"contrast/windows.py: train", "contrast/nce.py: fit"}
PRIVATE = re.compile("_[a-zA-Z]")
INSIDES = {"src", "core", "python"}  # of Keras, Numba, TensorFlow
DOCUMENTED = {"_replace", "_fields", "_exit"}  # public, underscore and all


def room(path):
    """The part a file belongs to; a file beside the parts is a room of its own."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """The names that a file imports from the package, wherever in the file it does so, as dotted paths."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*inside, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("partita."):
                yield name


def rooms_imported(path):
    """The rooms whose modules a file imports."""
    return (name.split(".")[1] for name in imported(path))


def modules():
    """Each module of the package, and those that it imports."""
    files = {}
    for path in FILES:
        name = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(name[:-1] if name[-1] == "__init__" else name)] = path
    return {
        module: {name if name in files else name.rpartition(".")[0] for name in imported(path)} - {module}
        for module, path in files.items()
    }


@pytest.mark.parametrize("depth", [None, 3, 2], ids=["files", "rooms of a part", "parts"])
def test_imports_go_in_no_circle(depth):
    graph = {}
    for module, others in modules().items():
        inside = module.split(".")[:depth]
        graph.setdefault(".".join(inside), set()).update(
            ".".join(other.split(".")[:depth]) for other in others
        )
    for node, others in graph.items():
        others -= {node}
    TopologicalSorter(graph).prepare()  # names the circle


def test_parts_do_not_import_one_another():
    strays = [
        f"{path.relative_to(ROOT)} imports partita.{other}"
        for path in FILES
        if room(path) not in FREE_TO_IMPORT
        for other in rooms_imported(path)
        if other not in {room(path), *OPEN_TO_ALL} and (room(path), other) not in HANDS_OVER
    ]
    assert not strays


def test_private_names_of_others_stand_in_one_place():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    ours = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    ours |= {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    ours |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    strays = []
    for path in set(FILES) - {PACKAGE / "backend" / "keras_internals.py", PACKAGE / "kernels.py"}:
        for node in ast.walk(trees[path]):
            if (
                isinstance(node, ast.Attribute)
                and node.attr not in ours | DOCUMENTED
                and PRIVATE.match(node.attr)
            ):
                strays.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.attr}")
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else ()
            ):
                whole = f"{node.module or ''}.{name}" if isinstance(node, ast.ImportFrom) else name
                if not whole.startswith("partita.") and any(
                    part in INSIDES or PRIVATE.match(part) for part in whole.split(".")
                ):
                    strays.append(f"{path.relative_to(ROOT)}:{node.lineno}: {whole}")
    assert not strays


def test_every_part_is_offered():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - ROOMS == set(partita.PARTS)


def test_no_file_is_longer_than_400_lines():
    assert not [
        f"{path.relative_to(ROOT)}: {count}"
        for path in FILES
        if (count := len(path.read_text("utf-8").splitlines())) > 400
    ]


def functions():
    """Each function of the package, by file and name; what is nested in it counts by itself."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(PACKAGE)}: {node.name}", node


def own_lines(node):
    """Lines of a function without its docstring and the functions within."""

    def within(inner):
        for child in ast.iter_child_nodes(inner):
            if isinstance(child, ast.FunctionDef):
                yield (
                    child.end_lineno
                    - min([child.lineno, *(line.lineno for line in child.decorator_list)])
                    + 1
                )
            else:
                yield from within(child)

    first = node.body[0]
    words = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
    return node.end_lineno - node.lineno + 1 - words - sum(within(node))


def test_a_function_fits_on_a_screen():
    assert {name for name, node in functions() if own_lines(node) > 60} == set()


def test_few_arguments_are_given_by_position():
    given = {name: [it.arg for it in [*node.args.posonlyargs, *node.args.args]] for name, node in functions()}
    crowded = {
        name
        for name, words in given.items()
        if len([word for word in words if word not in ("self", "cls")]) > 8
    }
    commands = {
        name
        for name, node in functions()
        if any("command" in ast.unparse(line) for line in node.decorator_list)
    }
    assert crowded - commands == CROWDED


def test_every_name_says_what_is_inside():
    paths = [
        path
        for folder in ("partita", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if "__pycache__" not in path.parts
    ]
    assert not [str(path.relative_to(ROOT)) for path in paths if path.stem.strip("_") in SILENT_NAMES]


def test_parts_that_promise_it_work_without_keras():
    parts = WITHOUT_KERAS & set(partita.PARTS)
    code = (
        f"import sys, partita; [getattr(partita, part) for part in {parts or '()'}]; sys.exit('keras' in "
        f"sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def public_names():
    for part in partita.PARTS:
        module = import_module(f"partita.{part}")
        for name in module.__all__:
            yield pytest.param(getattr(module, name), id=f"{part}.{name}")


def own_methods(cls):
    """The functions, properties and the like that are written in the class itself."""
    return {
        name: value
        for name, value in vars(cls).items()
        if isinstance(value, (FunctionType, property, classmethod, staticmethod))
    }


@pytest.mark.parametrize("thing", [*public_names()])
def test_public_names_are_described_with_an_example(thing):
    if isinstance(thing, (type, FunctionType)):
        assert ">>>" in (thing.__doc__ or "")


@pytest.mark.parametrize("thing", [*public_names()])
def test_public_methods_are_described_unless_a_contract_does_so(thing):
    if isinstance(thing, type):
        contracts = {name for above in thing.__mro__[1:] for name in vars(above)}
        assert not [
            name
            for name, method in own_methods(thing).items()
            if not (name.startswith("_") or name in contracts or method.__doc__)
        ]


def untyped(function):
    """Whether a parameter or the result has no type."""
    function = getattr(function, "fget", None) or getattr(function, "__func__", function)
    asked = inspect.signature(function)
    parameters = [parameter for name, parameter in asked.parameters.items() if name not in ("self", "cls")]
    wants_return = function.__name__ != "__init__"
    return any(part.annotation is part.empty for part in parameters) or (
        wants_return and asked.return_annotation is asked.empty
    )


@pytest.mark.parametrize("thing", [*public_names()])
def test_public_names_are_typed_unless_a_contract_does_so(thing):
    if isinstance(thing, FunctionType):
        assert not untyped(thing)
    elif isinstance(thing, type):
        above = (
            *thing.__mro__[1:],
            import_module("keras").layers.Layer,
        )  # for those that Keras saves and that are no layers
        contracts = {name for contract in above for name in dir(contract)} - {"__init__"}
        own = {
            name: method
            for name, method in own_methods(thing).items()
            if name not in contracts and name[0] != "_"
        }
        if (
            isinstance(vars(thing).get("__init__"), FunctionType)
            and thing.__init__.__module__ == thing.__module__
        ):
            own["__init__"] = thing.__init__
        assert not [name for name, method in own.items() if untyped(method)]


def own_classes():
    others = {f"partita.backend.{name}" for name in ("jax", "tensorflow", "torch")} - {engine().__name__}
    for module in pkgutil.walk_packages(partita.__path__, "partita."):
        if not module.name.endswith("__main__") and module.name not in others:
            for thing in vars(import_module(module.name)).values():
                if isinstance(thing, type) and thing.__module__ == module.name:
                    yield thing


def test_a_class_is_a_contract_or_final():
    """Nothing replaces a concrete method of ours, though it may extend one.

    A constructor is no part of a contract.
    """
    ours = {*own_classes()}
    overrides = [
        f"{cls.__module__}.{cls.__qualname__}.{name} overrides {above.__module__}.{above.__qualname__}.{name}"
        for cls in ours
        for above in ours.intersection(cls.__mro__[1:])
        for name in own_methods(cls).keys() & own_methods(above).keys() - {"__init__"}
        if not getattr(vars(above)[name], "__isabstractmethod__", False)
        and f"super().{name}(" not in inspect.getsource(vars(cls)[name])
    ]
    assert not overrides


def test_every_class_is_loaded_as_itself():
    keras = import_module("keras")
    names = {cls: keras.saving.get_registered_name(cls) for cls in own_classes()}
    assert not [
        name
        for cls, name in names.items()
        if name.startswith("partita>") and keras.saving.get_registered_object(name) is not cls
    ]
