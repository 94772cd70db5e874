"""The imports of a source tree, and those that do not lead to a lower floor."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

FACE = "__init__"
"""The name of a package's own ``__init__`` on its floors."""

Floors = Mapping[str, Sequence[str]]
"""The floors of each package, the lowest first; a floor names modules and packages, separated by spaces."""


def read_modules(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Files of all modules of some packages by dotted name; a package's name is that of its ``__init__``."""
    modules = {}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            modules[".".join([package, *(parts[:-1] if parts[-1] == FACE else parts)])] = path
    return modules


def imported_names(source: str, known: Collection[str] = (), package: str = "") -> set[str]:
    """Dotted names that a source file imports, at any depth, literal dynamic imports included.

    Args:
        source: The file's text.
        known: Names of modules: ``from a import b`` imports ``a.b`` if that is one of them, otherwise ``a``.
        package: The package that the file lies in, for relative imports.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            members = [f"{origin}.{alias.name}" for alias in node.names]
            names |= {member if member in known else origin for member in members}
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).split(".")[-1]
            argument = node.args[0]
            if called in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                names.add(str(argument.value))
    return names


def import_pairs(modules: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Each import of a module or a library by one of the modules: the importer's name and the imported one's."""
    for module, path in modules.items():
        package = module if path.stem == FACE else module.rpartition(".")[0]
        names = imported_names(path.read_text(encoding="utf-8"), modules, package)
        yield from ((module, name) for name in sorted(names - {module}))


def misplaced(modules: Mapping[str, Path], floors: Floors) -> list[str]:
    """Modules and packages that stand on no floor or on two, and floors of what does not exist."""
    children: dict[str, set[str]] = {}
    for module in modules:
        parts = module.split(".")
        for depth in range(1, len(parts)):
            children.setdefault(".".join(parts[:depth]), set()).add(parts[depth])
    faults = [f"{package} has floors and does not exist" for package in sorted(set(floors) - set(children))]
    for package, members in sorted(children.items()):
        members |= {FACE} if package in modules else set()
        places = [name for floor in floors.get(package, ()) for name in floor.split()]
        faults += [
            f"{package}.{name} is on no floor; give it one in tests/helpers/floors.py"
            for name in sorted(members - set(places))
        ]
        faults += [f"{package}.{name} has a floor and does not exist" for name in sorted(set(places) - members)]
        faults += [f"{package}.{name} is on two floors" for name in sorted(set(places)) if places.count(name) > 1]
    return faults


def upward_imports(modules: Mapping[str, Path], floors: Floors) -> list[str]:
    """Imports that do not lead to a lower floor of the innermost package that holds both modules.

    Neighbours on a floor do not know each other, so that no circle of imports can pass.
    """
    heights = {
        f"{package}.{name}": height
        for package, names in floors.items()
        for height, floor in enumerate(names)
        for name in floor.split()
    }
    faults = []
    for importer, imported in import_pairs(modules):
        package, name, other = _parting(importer, imported)
        places = [heights.get(f"{package}.{member}") for member in (name, other)]
        if imported in modules and None not in places and places[0] <= places[1]:
            faults.append(f"{importer} imports {imported}: {other} is not on a lower floor of {package} than {name}")
    return faults


def _parting(importer: str, imported: str) -> tuple[str, str, str]:
    """The innermost package that holds two modules, and the member of it that each is or lies in."""
    first, second = importer.split("."), imported.split(".")
    depth = 0
    while depth < min(len(first), len(second)) and first[depth] == second[depth]:
        depth += 1
    member, other = (parts[depth] if depth < len(parts) else FACE for parts in (first, second))
    return ".".join(first[:depth]), member, other
