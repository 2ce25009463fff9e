"""The distribution: what its packages resolve to, what they promise by name, what importing them costs."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REPO = Path(__file__).parent.parent
HEAVY = (
    "aiohttp",
    "chromadb",
    "datasets",
    "docx",
    "genai_prices",
    "ir_measures",
    "langchain",
    "langchain_core",
    "llama_index",
    "matplotlib",
    "numpy",
    "opentelemetry",
    "openvino",
    "pandas",
    "pyarrow",
    "pypdfium2",
    "ragas",
    "rouge_score",
    "sacrebleu",
    "scipy",
    "sentence_transformers",
    "statsmodels",
    "tantivy",
    "torch",
    "transformers",
    "xllamacpp",
)


def public_modules() -> Iterator[str]:
    for package in ("rag", "evals"):
        for path in sorted((REPO / package).rglob("*.py")):
            parts = path.relative_to(REPO).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if not any(part.startswith("_") for part in name.split(".")):
                yield name


MODULES = tuple(public_modules())


@pytest.mark.parametrize("package", ["rag", "evals"])
def test_the_package_is_this_distributions(package: str) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None, f"{package!r} resolves to a namespace package, not to ours"
    installed = distribution("ragassay")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        expected = Path(unquote(urlsplit(origin["url"]).path)) / package
    else:
        expected = Path(str(installed.locate_file(package)))
    assert Path(spec.origin).parent.resolve() == expected.resolve()
    owners = packages_distributions().get(package, ["ragassay"])
    assert set(owners) == {"ragassay"}, f"another distribution installs a package {package!r} too"


def test_the_console_script() -> None:
    (script,) = (e for e in distribution("ragassay").entry_points if e.group == "console_scripts")
    assert (script.name, script.value) == ("ragassay", "evals.cli:main")
    assert callable(script.load())


def test_the_packages_are_typed() -> None:
    assert all((REPO / package / "py.typed").is_file() for package in ("rag", "evals"))


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_promises_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    assert isinstance(getattr(module, "__all__", None), list | tuple), f"{name} has no __all__"
    assert len(set(module.__all__)) == len(module.__all__), f"{name}.__all__ names something twice"
    missing = [promised for promised in module.__all__ if not hasattr(module, promised)]
    assert not missing, f"{name}.__all__ promises what is not there: {missing}"
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_documented(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    bare = [
        f"{name}.{node.name}, line {node.lineno}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)
    ]
    assert not bare, f"no docstring: {bare}"


@pytest.mark.parametrize("statement", ["import rag", "import evals", "import rag.cli, evals.cli"])
def test_importing_is_light(statement: str) -> None:
    program = f"import sys; {statement}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]", f"'{statement}' loads {done.stdout.strip()}"


def test_import_rag_loads_nothing_but_itself() -> None:
    program = (
        "import sys; before = set(sys.modules); import rag; "
        "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['rag']"


def test_the_python_surface() -> None:
    import evals
    import rag

    for name in ("ingest", "search", "ask", "Index", "rag_chain"):
        assert callable(getattr(rag, name))
        assert name in dir(rag)
    for name in ("run", "resume", "report"):
        assert callable(getattr(evals, name))
    with pytest.raises(AttributeError, match="no attribute 'ingset'"):
        getattr(rag, "ingset")  # noqa: B009  # a type checker would refuse rag.ingset


def test_rag_never_loads_evals() -> None:
    program = (
        "import sys, importlib; "
        f"[importlib.import_module(n) for n in {[n for n in MODULES if n.split('.')[0] == 'rag']!r}]; "
        "print('evals' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=110
    )
    assert done.stdout.strip() == "False"


DEMO_FROM_A_WHEEL = """
import rag, evals
from evals.demo import demo_config
from rag.bundled import bundled_path
config = demo_config()
sources = [str(config.path(source)) for source in config.collections["handbook"].sources]
assert rag.ingest(sources, "handbook", config=config).failures == ()
baseline = config.model_copy(update={"systems": config.systems[:1]})
result = evals.run(baseline, out="run", limit=3)
page = evals.report(result.folder, format="html")
print(rag.__file__, result.exit_code, "</html>" in page)
"""


def test_a_wheel_installed_elsewhere_runs_the_demo(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    done = subprocess.run(
        [sys.executable, "-P", "-c", DEMO_FROM_A_WHEEL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == [str(installed / "rag" / "__init__.py"), "0", "True"]
