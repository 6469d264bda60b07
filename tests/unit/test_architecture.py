"""The arrows of the design, enforced by parsing imports: of what may import what, nothing else is true."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = {"domain", "machines", "adapters", "shells", "training", "serve_app", "conf", "cluster"}
MAY_IMPORT = {
    "domain": {"domain"},
    "machines": {"domain", "machines"},
    "adapters": {"domain", "conf", "adapters"},
    "shells": {"domain", "machines", "shells"},
    "training": {"domain", "adapters", "conf", "training"},
    "serve_app": {"domain", "conf", "serve_app"},
    "conf": {"conf"},
    "cluster": PRODUCT,
    "bench": PRODUCT | {"bench", "tests"},
    "tests": PRODUCT | {"bench", "tests"},
}
ALSO = {("serve_app", "training.network")}  # the network's definition, which serving runs
TOP_LEVEL = ("actors", "training", "serve_app", "conf", "cluster", "bench", "tests")
ONLY_THIRD_PARTY = {"domain": {"numpy", "msgspec"}, "machines": {"numpy", "msgspec"}}
NEVER = {"shells": {"torch"}, "adapters": {"torch", "ray"}, "serve_app": {"pickle"}}  # an actor with torch is no 61 MB
NOT_OURS = {"data"}


def violations(root: Path) -> list[str]:
    """Return every import and `__init__.py` under `root` that the design does not allow, one sentence each."""
    found = []
    for path in sorted(source_files(root)):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        where = path.relative_to(root)
        part = part_of(module_name(where))
        if part is None:
            found.append(f"{where}: no part of the design holds this file")
            continue
        if path.name == "__init__.py" and not does_nothing(tree):
            found.append(f"{where}: an __init__.py holds a docstring, imports and __all__, nothing else")
        for line, target in imported(tree, module_name(where), path.name == "__init__.py", root):
            if problem := forbidden(part, target):
                found.append(f"{where}:{line}: {problem}")
    return found


def source_files(root: Path) -> Iterator[Path]:
    """Yield our Python files: not those of dot folders (a virtual environment) or of run state."""
    yield from root.glob("*.py")
    for top in root.iterdir():
        if top.is_dir() and not top.name.startswith(".") and top.name not in NOT_OURS:
            yield from (path for path in top.rglob("*.py") if "node_modules" not in path.parts)


def module_name(where: Path) -> str:
    """Return the dotted name of a file, relative to the repository."""
    parts = where.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str | None:
    """Return the part of the design that a module of ours belongs to, None if it is in none."""
    top, _, rest = module.partition(".")
    if top == "actors":
        below = rest.partition(".")[0]
        return below if below in ("domain", "machines", "adapters") else "shells"
    return top if top in MAY_IMPORT else None


def imported(tree: ast.Module, module: str, is_package: bool, root: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that is imported, wherever it stands, also by `import_module("...")`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=name, names=names, level=level):
                base = absolute(name or "", level, package)
                yield from ((node.lineno, submodule_or(base, alias.name, root)) for alias in names)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in ("import_module", "__import__"):
                    yield node.lineno, name


def absolute(name: str, level: int, package: str) -> str:
    """Return the full name of what `from <dots><name> import` means in a package."""
    if level == 0:
        return name
    above = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*above, *([name] if name else [])])


def submodule_or(base: str, name: str, root: Path) -> str:
    """Return `base.name` where that is a module of ours, else `base`."""
    path = root.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").is_file() else base


def forbidden(part: str, target: str) -> str | None:
    """Return why `part` must not import `target`, None if it may."""
    top = target.partition(".")[0]
    if top not in TOP_LEVEL:
        return forbidden_third_party(part, top)
    goal = part_of(target)
    if goal in MAY_IMPORT[part] or (part, target) in ALSO or target == "actors":
        return None
    return f"{part} must not import {target}"


def forbidden_third_party(part: str, package: str) -> str | None:
    """Return why `part` must not import a package that is not ours, None if it may."""
    if package in NEVER.get(part, set()):
        return f"{part} must not import {package}"
    allowed = ONLY_THIRD_PARTY.get(part)
    if allowed is None or package in sys.stdlib_module_names or package in allowed:
        return None
    return f"{part} must not import {package}: only the standard library, {' and '.join(sorted(allowed))}"


def does_nothing(tree: ast.Module) -> bool:
    """Whether a module's body is a docstring, imports and `__all__`."""
    return all(is_declaration(node) for node in tree.body)


def is_declaration(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple()):
            return True
    return False


def test_imports_follow_the_arrows_of_the_design() -> None:
    assert violations(ROOT) == []


def test_the_whole_repository_was_looked_at() -> None:
    looked_at = {part_of(module_name(path.relative_to(ROOT))) for path in source_files(ROOT)}
    assert looked_at == set(MAY_IMPORT)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository in which everything is as it should be."""
    good = {
        "actors/__init__.py": '"""Actors."""\n',
        "actors/domain/__init__.py": '"""Domain."""\nfrom actors.domain.odds import fair\n\n__all__ = ["fair"]\n',
        "actors/domain/odds.py": "import math\nimport numpy as np\nimport msgspec\n",
        "actors/machines/match.py": "from actors.domain import odds\nfrom . import sequence\n",
        "actors/machines/sequence.py": "import actors.domain.odds\n",
        "actors/adapters/log.py": "import sqlite3\nimport conf.schema\nfrom actors.domain.odds import fair\n",
        "actors/match.py": "from actors.machines.match import step\nfrom actors.metrics import count\nimport ray\n",
        "actors/metrics.py": "import ray\n",
        "training/network.py": "import torch\nfrom training.clock import share\nfrom actors.domain.odds import fair\n",
        "training/clock.py": "from actors.adapters import log\n",
        "serve_app/app.py": "from training.network import load\nfrom training import network\nimport conf\n",
        "conf/schema.py": "import hydra\n",
        "cluster/launch.py": "import actors.match, serve_app.app, training.clock\n",
        "bench/speed.py": "from cluster.launch import main\n",
        "tests/test_all.py": "from bench.speed import main\n",
        "data/scratch.py": "import nonsense\n",
        ".venv/lib/anything.py": "import nonsense\n",
    }
    for name, source in good.items():
        plant(tmp_path, name, source)
    return tmp_path


def plant(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def test_good_imports_are_let_through(repository: Path) -> None:
    assert violations(repository) == []


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        (
            "actors/domain/x.py",
            "from actors.machines.match import step",
            "domain must not import actors.machines.match",
        ),
        ("actors/domain/x.py", "from ..machines import match", "domain must not import actors.machines.match"),
        ("actors/domain/x.py", "from actors import adapters", "domain must not import actors.adapters"),
        ("actors/domain/x.py", "def f():\n    import ray", "domain must not import ray: only the standard library"),
        ("actors/domain/x.py", "import scipy.stats", "domain must not import scipy"),
        (
            "actors/domain/x.py",
            "import importlib\nimportlib.import_module('conf.schema')",
            "must not import conf.schema",
        ),
        ("actors/machines/x.py", "import actors.adapters.log", "machines must not import actors.adapters.log"),
        ("actors/machines/x.py", "import ray", "machines must not import ray"),
        ("actors/adapters/x.py", "from actors.machines.match import step", "adapters must not import actors.machines"),
        ("actors/adapters/x.py", "from training.network import load", "adapters must not import training.network"),
        ("actors/x.py", "from actors.adapters.log import Log", "shells must not import actors.adapters.log"),
        ("actors/x.py", "import training.network", "shells must not import training.network"),
        ("actors/x.py", "from serve_app import app", "shells must not import serve_app.app"),
        ("actors/x.py", "import torch", "shells must not import torch"),
        ("training/x.py", "from serve_app.app import build", "training must not import serve_app.app"),
        ("training/x.py", "from actors.match import MatchActor", "training must not import actors.match"),
        ("serve_app/x.py", "from training.clock import share", "serve_app must not import training.clock"),
        ("serve_app/x.py", "import training", "serve_app must not import training"),
        ("serve_app/x.py", "from actors.adapters import log", "serve_app must not import actors.adapters.log"),
        ("conf/x.py", "from actors.domain.odds import fair", "conf must not import actors.domain.odds"),
        ("conf/x.py", "if True:\n    from cluster import launch", "conf must not import cluster.launch"),
        ("cluster/x.py", "from tests.test_all import helper", "cluster must not import tests.test_all"),
        ("conf/__init__.py", "import logging\nlogging.basicConfig()", "an __init__.py holds a docstring"),
        ("actors/__init__.py", "VERSION = 1", "an __init__.py holds a docstring"),
        ("tools/x.py", "", "no part of the design holds this file"),
        ("setup.py", "", "no part of the design holds this file"),
    ],
)
def test_a_planted_breach_is_caught(repository: Path, name: str, source: str, complaint: str) -> None:
    plant(repository, name, source)
    (found,) = violations(repository)
    assert found.startswith(name)
    assert complaint in found
