"""Imports run one way. Read from the source, so that a lazy import inside a function counts, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "jupyter_jobprogress"

# What a layer may import besides itself: the layers of the rows above it.
LAYERS: list[set[str]] = [
    {"_version", "errors", "backoff"},
    {"protocol"},
    {"settings"},
    {"store"},
    {"reporter", "server", "widget"},
    {"client", "integrations"},
    {"cli"},
    {"terminal"},
    {"_notebook", "__main__"},
    {"__init__", "tqdm"},
]
RANK = {layer: rank for rank, row in enumerate(LAYERS) for layer in row}


def modules() -> dict[str, Path]:
    """Return the modules of the package, by their dotted names below it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, *, typing_too: bool) -> Iterator[str]:
    """Yield the modules of this package that a file imports, by their dotted names below it."""
    tree = ast.parse(path.read_text())
    skipped = set() if typing_too else {id(node) for block in typing_blocks(tree) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("jupyter_jobprogress."):
                yield name.removeprefix("jupyter_jobprogress.")


def typing_blocks(tree: ast.Module) -> list[ast.If]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in modules()} <= set(RANK)


def test_no_import_points_upwards_or_sideways() -> None:
    wrong = []
    for name, path in modules().items():
        layer = name.partition(".")[0]
        for target in imports(path, typing_too=True):
            to = target.partition(".")[0]
            if to in RANK and to != layer and RANK[to] >= RANK[layer]:
                wrong.append(f"{name} imports {target}")

    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    known = modules()
    graph = {
        name: {target if target in known else target.rpartition(".")[0] for target in imports(path, typing_too=False)}
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in graph.get(name, ()):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
