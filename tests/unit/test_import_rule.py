"""The house rules a machine can see: imports point down, modules are short, no page names a machine.

The order (CONTRIBUTING.md, "The import rule"):
model <- store, drivers, bus <- work <- service <- api, compute, conductor, streams, wsproxy <- cmd <- wsgi.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "zun"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"model"}),
    frozenset({"store", "drivers", "bus"}),
    frozenset({"work"}),
    frozenset({"service"}),
    frozenset({"api", "compute", "conductor", "streams", "wsproxy"}),
    frozenset({"cmd"}),
    frozenset({"wsgi"}),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: Where fewer than all lower layers may be imported.
ONLY: dict[str, frozenset[str]] = {
    "api": frozenset({"model", "store", "bus", "service"}),
    "streams": frozenset({"model", "store", "bus", "work", "service"}),
    "wsproxy": frozenset({"model", "store", "bus"}),
    "conf": frozenset(),
}
#: Readers of the options.
CONF_READERS = frozenset({"cmd", "wsgi"})
#: Top-level packages that only these modules may import.
PRIVATE_TO = {"oslo_messaging": frozenset({"zun.bus.oslo"})}

MODULE_LINES = 600
FUNCTION_LINES = 60
#: A revision of the schema is a list of statements: it has no shorter shape.
LISTS = "zun.store.migrations.versions."


class Module:
    """One source file and what it imports."""

    def __init__(self, path: Path, source: Path) -> None:
        parts = ("zun", *path.relative_to(source).with_suffix("").parts)
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, str(path))

    @property
    def layer(self) -> str:
        """The folder below zun it is in; empty for zun itself."""
        return layer_of(self.name)

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of everything imported, names of `from` imports included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}"

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        up = node.level - 1 if self.is_package else node.level
        parts = self.name.split(".")
        anchor = parts[: len(parts) - up]
        return ".".join([*anchor, *([node.module] if node.module else [])])


def layer_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "zun" else ""


def modules(source: Path) -> list[Module]:
    return [Module(path, source) for path in sorted(source.rglob("*.py"))]


def why_not(importer: str, imported: str) -> str | None:
    """Why the layer `importer` may not import the layer `imported`; None where it may."""
    if importer == imported or not imported:
        return None
    if imported == "conf":
        return None if importer in CONF_READERS else "only cmd and wsgi read options"
    if importer in ONLY:
        return (
            None
            if imported in ONLY[importer]
            else f"{importer} may import {sorted(ONLY[importer])}"
        )
    if imported not in RANK or importer not in RANK:
        return "a folder the rule does not know"
    if RANK[imported] == RANK[importer]:
        return "siblings never import each other"
    return None if RANK[imported] < RANK[importer] else "imports point down"


def breaches(source: Path) -> list[str]:
    """Every import below `source` that breaks the rule."""
    found = []
    for module in modules(source):
        for line, name in module.imports():
            top = name.split(".")[0]
            reason = None
            if top == "zun":
                # `from zun import x` names a layer; any other way leads there by its second part.
                reason = (
                    why_not(module.layer, layer_of(name)) if module.layer else "zun imports nothing"
                )
            elif module.layer == "model" and top not in sys.stdlib_module_names:
                reason = "model uses the standard library only"
            elif top in PRIVATE_TO and module.name not in PRIVATE_TO[top]:
                reason = f"only {', '.join(sorted(PRIVATE_TO[top]))} imports {top}"
            if reason:
                found.append(f"{module.name}:{line} imports {name}: {reason}")
    return found


def cycle(source: Path) -> list[str]:
    """A cycle of imports among the modules below `source`, empty where there is none."""
    known = {module.name: module for module in modules(source)}
    graph = {name: sorted(_targets(module, known)) for name, module in known.items()}
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for target in graph[name]:
            if found := visit(target):
                return found
        path.pop()
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name))), [])


def _targets(module: Module, known: dict[str, Module]) -> set[str]:
    names = {name for _, name in module.imports()}
    resolved = {name if name in known else name.rpartition(".")[0] for name in names}
    return {name for name in resolved if name in known and name != module.name}


def too_long(source: Path) -> list[str]:
    """Modules and functions below `source` that are longer than they may be."""
    found = []
    for module in modules(source):
        lines = len(module.text.splitlines())
        if lines > MODULE_LINES:
            found.append(f"{module.name}: {lines} lines, at most {MODULE_LINES}")
        if module.name.startswith(LISTS):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found.append(
                        f"{module.name}.{node.name}: {lines} lines, at most {FUNCTION_LINES}"
                    )
    return found


def test_imports_point_down() -> None:
    assert not breaches(SOURCE)


def test_no_import_cycles() -> None:
    assert not cycle(SOURCE)


def test_nothing_is_too_long() -> None:
    assert not too_long(SOURCE)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("model/a.py", "import falcon"),
        ("model/a.py", "from zun.store import schema"),
        ("drivers/a.py", "from zun.store import schema"),
        ("store/a.py", "from zun import bus"),
        ("work/a.py", "import zun.service.guard"),
        ("service/a.py", "from zun.api.errors import clip"),
        ("service/a.py", "from zun.conf import load"),
        ("api/a.py", "from zun.drivers.errors import NotFound"),
        ("api/a.py", "from ..work import runner"),
        ("api/handlers/a.py", "from ...drivers import errors"),
        ("api/a.py", "from zun.compute import agent"),
        ("compute/a.py", "def f():\n    from zun.conductor import place"),
        ("wsproxy/a.py", "from zun.service import caller"),
        ("conf/a.py", "from zun.model import names"),
        ("cmd/a.py", "from zun.wsgi import api"),
        ("bus/local.py", "import oslo_messaging"),
        ("attic/a.py", "from zun.model import names"),
        ("__init__.py", "from zun.model import names"),
    ],
)
def test_the_rule_finds_a_breach(tmp_path: Path, file: str, line: str) -> None:
    plant(tmp_path, file, line)
    assert len(breaches(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("model/a.py", "import dataclasses\nfrom . import b\nfrom zun.model.b import x"),
        ("drivers/docker/a.py", "from zun.model import names\nfrom zun.drivers import errors"),
        (
            "api/handlers/a.py",
            "from ..errors import clip\nfrom zun.service import queries\nimport falcon",
        ),
        ("compute/a.py", "from zun.drivers import errors\nfrom zun.work import runner"),
        ("bus/oslo.py", "import oslo_messaging"),
        (
            "cmd/a.py",
            "from zun import conf\nfrom zun.api import app\nfrom zun.drivers import docker",
        ),
        ("wsgi/api.py", "from zun.conf import load"),
    ],
)
def test_the_rule_lets_pass_what_it_should(tmp_path: Path, file: str, line: str) -> None:
    plant(tmp_path, file, line)
    assert breaches(tmp_path) == []


def test_a_cycle_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "model/a.py", "from zun.model import b")
    plant(tmp_path, "model/b.py", "from .c import x")
    plant(tmp_path, "model/c.py", "import zun.model.d")
    assert cycle(tmp_path) == []
    plant(tmp_path, "model/d.py", "def late():\n    from zun.model.a import y")
    assert cycle(tmp_path) == [
        "zun.model.a",
        "zun.model.b",
        "zun.model.c",
        "zun.model.d",
        "zun.model.a",
    ]


def test_length_is_found(tmp_path: Path) -> None:
    body = "    pass\n" * FUNCTION_LINES
    plant(tmp_path, "model/a.py", f"def f():\n{body}")
    plant(tmp_path, "model/b.py", "x = 1\n" * (MODULE_LINES + 1))
    assert [line.split(":")[0] for line in too_long(tmp_path)] == ["zun.model.a.f", "zun.model.b"]


def plant(source: Path, file: str, text: str) -> None:
    path = source / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


# -- no page names a machine ----------------------------------------------------------------------

#: Written so that this file does not match itself.
MACHINE = re.compile(
    r"(?<![\w.~/}$-])/"
    + r"(work|mnt/data|opt/(pypi|wheels)|tmp/w|root)/"
    + "|"
    + "issues"
    + " show"
)
SKIPPED = re.compile(
    r"(^|/)(\.git|\.venv[^/]*|\.[a-z]+_cache|\.hypothesis|__pycache__|[^/]+\.egg-info|build|dist)(/|$)"
)


def named_machines(root: Path) -> list[str]:
    """Lines of text files below `root` that name a path or tool of one machine."""
    found = []
    for path in sorted(root.rglob("*")):
        shown = path.relative_to(root).as_posix()
        if SKIPPED.search(shown) or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{shown}:{n}: {line.strip()}"
            for n, line in enumerate(lines, 1)
            if MACHINE.search(line)
        ]
    return found


def test_no_file_names_a_machine() -> None:
    assert not named_machines(ROOT)


def test_a_named_machine_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "docs/a.md", "see /" + "work/main, not src/zun/work/ or ./work/x")
    plant(tmp_path, "docs/b.md", "src/zun/work/runner.py and docs/work/x")
    assert [line.split(":")[0] for line in named_machines(tmp_path)] == ["docs/a.md"]
