"""The sandbox: honest programs pass, hostile ones get neither out nor a verdict, failures are told apart."""
# ruff: noqa: E501  # programs read best in a line

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evals.sandbox import Exam, Kind, Limits, Sandbox, gate, is_isolated, open_sandbox, unsafe_local_code
from evals.sandbox.canaries import escapes
from evals.sandbox.jail import Bare, Bubblewrap
from evals.sandbox.seccomp import filter_program
from rag.errors import MissingDependencyError, RagassayError
from tests.conftest import need_tool
from tests.evals.sandbox.hostile import ENDLESS, hostile_programs

TEST = "def check(candidate):\n    assert candidate({!r}) == {!r}\n"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    need_tool("bwrap", "bubblewrap")
    return open_sandbox()


@pytest.fixture(scope="module")
def brief(sandbox: Sandbox) -> Sandbox:
    """The same with less time, for programs that would take all of it."""
    limits = Limits(wall_s=2.0)
    return Sandbox(Bubblewrap(limits), limits)


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not looked for isolation yet."""
    monkeypatch.setattr(gate, "_tried", {})


def exam(program: str, argument: object = 1, wanted: object = 2, **more: object) -> Exam:
    return Exam(program=program, entry_point="f", test=TEST.format(argument, wanted), **more)  # type: ignore[arg-type]


FAILURES = {
    "passed": ("def f(x): return x + 1", Kind.PASSED, ""),
    "syntax": ("def f(x) return", Kind.SYNTAX, "SyntaxError"),
    "null byte": ("def f(x): return '\0'", Kind.SYNTAX, "SyntaxError"),
    "import": ("import no_such_module", Kind.IMPORT, "no_such_module"),
    "import in a call": ("def f(x): import requests", Kind.IMPORT, "requests"),
    "wrong": ("def f(x): return 3", Kind.ASSERTION, "the test: AssertionError"),
    "raises": ("def f(x): return 1 / 0", Kind.EXCEPTION, "ZeroDivisionError: division by zero"),
    "raises at once": ("1 / 0", Kind.EXCEPTION, "ZeroDivisionError"),
    "asserts itself": ("def f(x): assert False, 'mine'", Kind.EXCEPTION, "AssertionError: mine"),
    "nothing defined": ("g = 1", Kind.EXCEPTION, "no function 'f' is defined"),
    "wrong arguments": ("def f(): pass", Kind.EXCEPTION, "TypeError"),
    "recursion": ("def f(x): return f(x)", Kind.EXCEPTION, "RecursionError"),
    "eval's syntax": ("def f(x): return eval('1 +')", Kind.EXCEPTION, "SyntaxError"),
    "time": ("def f(x):\n    while True: pass", Kind.TIMEOUT, "no answer within 5 s"),
    "memory": ("def f(x): return bytearray(1 << 40)", Kind.MEMORY, "MemoryError"),
    "process": ("import os\ndef f(x): os.fork()", Kind.FORBIDDEN, "PermissionError"),
    "root": ("def f(x): open('/new', 'w')", Kind.FORBIDDEN, "Read-only"),
    "crash": ("import ctypes\ndef f(x): ctypes.string_at(0)", Kind.EXCEPTION, "SIGSEGV"),
    "exit": ("import os\ndef f(x): os._exit(3)", Kind.EXCEPTION, "ended itself with status 3"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_apart(name: str, sandbox: Sandbox) -> None:
    program, kind, detail = FAILURES[name]
    verdict = sandbox.examine(exam(program))
    assert verdict.kind is kind, verdict
    assert detail in verdict.detail


VALUES = (
    "[1, 2.5, 'é', None, True]",
    "(1, [2, (3,)])",
    "{'a': {1: (2,)}, (1, 2): [None]}",
    "{1, 'a', (2, 3)}",
    "frozenset({1})",
    "3 + 4j",
    "b'\\x00\\xff'",
    "10 ** 5000",
    "-(1 << 70)",
    "[1 << 300, 2]",
    "float('inf')",
    "'\\ud800'",
    "''",
    "__import__('fractions').Fraction(1, 3)",
    "__import__('decimal').Decimal('0.1')",
)


@pytest.mark.parametrize("value", VALUES)
def test_values_travel_unchanged(value: str, sandbox: Sandbox) -> None:
    test = f"def check(candidate):\n    value = {value}\n    out = candidate(value)\n    assert out == value and type(out) is type(value)\n"
    verdict = sandbox.examine(Exam(program="def f(x): return x", entry_point="f", test=test))
    assert verdict.passed, verdict


def test_what_a_test_may_do_with_a_result_it_may_do_here(sandbox: Sandbox) -> None:
    program = (
        "import collections, enum, numpy\n"
        "Point = collections.namedtuple('Point', 'x y')\n"
        "class Colour(enum.IntEnum):\n    RED = 1\n"
        "def f(x):\n"
        "    return {'g': (n for n in range(3)), 'r': range(3), 'm': map(str, [1]), 'k': {1: 2}.keys(), 'p': Point(1, 2),\n"
        "            'c': Colour.RED, 'd': collections.Counter('aab'), 'n': numpy.int64(7), 'b': numpy.bool_(True),\n"
        "            'a': numpy.arange(3), 'o': object()}[x]\n"
    )
    test = (
        "def check(candidate):\n"
        "    assert list(candidate('g')) == [0, 1, 2] and candidate('g') != [0, 1, 2]\n"
        "    assert len(candidate('r')) == 3 and candidate('r')[1] == 1 and set(candidate('k')) == {1}\n"
        "    assert tuple(candidate('m')) == ('1',) and candidate('p') == (1, 2) and candidate('c') == 1\n"
        "    assert candidate('d') == {'a': 2, 'b': 1} and candidate('n') == 7 and candidate('b') == True\n"
        "    assert list(candidate('a')) == [0, 1, 2] and candidate('o') != candidate('o')\n"
        "    try:\n        candidate('z')\n    except KeyError:\n        return\n    assert False\n"
    )
    assert sandbox.examine(Exam(program=program, entry_point="f", test=test)).passed


def test_helpers_of_the_prompt_are_there_for_both(sandbox: Sandbox) -> None:
    prompt = "import math\n\n\ndef half(x):\n    return x / 2\n\n\ndef f(x):\n    '''Halve.'''\n"
    test = "def check(candidate):\n    assert candidate(4) == half(4) == f(4) and math.pi > 3\n"
    verdict = sandbox.examine(
        Exam(program=f"{prompt}    return half(x)\n", entry_point="f", test=test, setup=prompt)
    )
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("returned", "atol", "passed"),
    [("x / 3", 0, True), ("x / 3 + 1e-8", 0, True), ("x / 3 + 1e-4", 0, False), ("x / 3 + 1e-4", 1e-3, True), ("[x]", 1.0, False)],
)  # fmt: skip
def test_added_inputs_compare_with_the_reference(
    returned: str, atol: float, passed: bool, sandbox: Sandbox
) -> None:
    verdict = sandbox.examine(
        Exam(
            program=f"def f(x): return {returned}",
            entry_point="f",
            reference="def f(x): return x / 3",
            inputs=[[1], [2.5]],
            atol=atol,
        )
    )
    assert verdict.passed == passed, verdict
    assert passed or "added case 0 is wrong" in verdict.detail


def test_an_argument_changed_by_the_program_is_its_own_copy(sandbox: Sandbox) -> None:
    verdict = sandbox.examine(
        Exam(
            program="def f(x): x.append(1); return x",
            entry_point="f",
            reference="def f(x): x.append(1); return x",
            inputs=[[[0]], [[0]]],
        )
    )
    assert verdict.passed, verdict


def test_the_same_program_gets_the_same_verdict(sandbox: Sandbox) -> None:
    order = exam("def f(x): return ''.join({'alpha', 'beta', 'gamma', 'delta'})", 1, "?")
    program = "def f(x): raise ValueError(''.join({'alpha', 'beta', 'gamma', 'delta'}))"
    assert sandbox.examine(order) == sandbox.examine(order)
    assert len({sandbox.examine(exam(program)).detail for _ in range(3)}) == 1


def test_what_it_prints_is_kept_to_a_bound(sandbox: Sandbox) -> None:
    verdict = sandbox.examine(exam("print('hello' + 'x' * 10**6)\ndef f(x): return x + 1"))
    assert verdict.passed
    assert verdict.output.startswith("hellox")
    assert len(verdict.output) == Limits().output_bytes


def test_no_hostile_program_gets_out_or_a_verdict(sandbox: Sandbox, brief: Sandbox, tmp_path: Path) -> None:
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text("a secret")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        programs = hostile_programs(secret, written, listener.getsockname()[1], os.getpid())
        assert len(programs) >= 25
        assert programs.keys() > ENDLESS
        times = {}
        escaped = {}

        def examine(name: str) -> None:
            program, argument, wanted = programs[name]
            start = time.monotonic()
            verdict = (brief if name in ENDLESS else sandbox).examine(
                Exam(program=program, entry_point="attack", test=TEST.format(argument, wanted))
            )
            times[name] = time.monotonic() - start
            if verdict.passed:
                escaped[name] = verdict

        with ThreadPoolExecutor(4) as pool:
            [*pool.map(examine, programs)]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert escaped == {}
    assert not written.exists()
    assert secret.read_text() == "a secret"
    # 10 s each, and a margin for a machine that runs other tests beside these.
    assert max(times.values()) < 15, times


def test_nothing_outlives_its_exam(sandbox: Sandbox, brief: Sandbox) -> None:
    listed = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    before = listed.count("bwrap] <defunct>")
    sandbox.examine(
        exam(
            "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\ndef f(x): return 2"
        )
    )
    assert brief.examine(exam("def f(x):\n    while True: pass")).kind is Kind.TIMEOUT
    running = subprocess.run(["ps", "-wweo", "ppid,args"], capture_output=True, text=True, check=True).stdout
    assert [
        line for line in running.splitlines() if line.split()[0] == str(os.getpid()) and "bwrap" in line
    ] == []
    # Nothing is left for the machine's first process to collect either.
    assert running.count("bwrap] <defunct>") <= before


def test_a_killed_parent_leaves_no_program_behind(sandbox: Sandbox) -> None:
    program = (
        "from evals.sandbox import Exam, open_sandbox\n"
        "endless = 'import time\\ntime.sleep(999)'\n"
        "open_sandbox().examine(Exam(program=endless, entry_point='f', patience=7))"
    )
    mark = f'"RLIMIT_CPU": {7 * Limits().cpu_s}'

    def running() -> int:
        return subprocess.run(
            ["ps", "-wweo", "args"], capture_output=True, text=True, check=True
        ).stdout.count(mark)

    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        assert eventually(lambda: running() > 0)
        parent.kill()
    assert eventually(lambda: running() == 0)


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 15
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


def test_a_test_that_is_broken_is_no_verdict(sandbox: Sandbox) -> None:
    broken = Exam(program="def f(x): return 1", entry_point="f", test="raise SystemError('the data')\n")
    assert sandbox.examine(broken).detail == "the test: SystemError: the data"
    with pytest.raises(RagassayError, match="could not run the test"):
        sandbox.examine(Exam(program="def f(x): 1", entry_point="f", test="import os\nos._exit(5)"))


# ---------------------------------------------------------------- the gate


@pytest.mark.usefixtures("untried")
def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"apt install bubblewrap.*--unsafe-local-code"):
        open_sandbox()
    assert not is_isolated()
    with unsafe_local_code():
        bare = open_sandbox()
    assert bare.examine(exam("def f(x): return x + 1")).passed
    with pytest.raises(MissingDependencyError):
        open_sandbox()


@pytest.mark.usefixtures("untried")
def test_where_the_kernel_forbids_it_says_what(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MissingDependencyError, match="No permissions to create new namespace"):
        open_sandbox()


@pytest.mark.usefixtures("untried")
def test_a_sandbox_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    need_tool("bwrap", "bubblewrap")

    def confine_nothing(limits: Limits) -> Bare:
        return Bare()

    monkeypatch.setattr(gate, "Bubblewrap", confine_nothing)
    # The limits keep the canaries harmless here: a fork bomb is stopped by the number of processes.
    monkeypatch.setattr("evals.sandbox.canaries._FORK_BOMB", "def attack(number): return number\n")
    with pytest.raises(MissingDependencyError, match=r"does not hold: .*network, reading a file outside"):
        open_sandbox()


def test_cheats_do_not_pay_without_isolation_either() -> None:
    bare = Sandbox(Bare(), Limits())
    for program in (
        "import os\nos._exit(0)",
        "class A:\n    def __eq__(s, o): return True\ndef f(x): return A()",
    ):
        assert not bare.examine(exam(program)).passed


def test_canaries_take_little_time() -> None:
    need_tool("bwrap", "bubblewrap")
    limits = Limits()
    start = time.monotonic()
    assert escapes(Sandbox(Bubblewrap(limits), limits)) == []
    assert time.monotonic() - start < 15


def test_the_filter_fits_the_kernel() -> None:
    for machine in ("x86_64", "aarch64"):
        program = filter_program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096  # BPF_MAXINSNS
    assert filter_program("vax") is None


def test_the_inside_needs_the_standard_library_alone() -> None:
    program = "import evals.sandbox.inside.examiner, sys; print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'rag', 'pydantic')])"
    root = Path(__file__).parents[3] / "evals" / "sandbox" / "inside"
    code = f"import sys, types; [sys.modules.__setitem__(n, types.ModuleType(n)) for n in ('evals', 'evals.sandbox')]; sys.modules['evals'].__path__ = []; sys.modules['evals.sandbox'].__path__ = [{str(root.parent)!r}]; {program}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
