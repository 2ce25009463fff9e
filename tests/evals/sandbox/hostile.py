"""Programs that want out of the sandbox, or a verdict that they have not earned.

Each is tested by `assert candidate(ARGUMENT) == WANTED`; to pass is to have got out or to have cheated.
"""
# ruff: noqa: E501  # programs read best in a line

from __future__ import annotations

from pathlib import Path

__all__ = ["ENDLESS", "hostile_programs"]

# Programs that do nothing but go on: any limit on time ends them.
ENDLESS = {
    "an endless loop",
    "an endless sleep",
    "an endless loop at once",
    "an endless number",
    "endless output",
    "signals ignored",
}

_PATHS = """
def attack(path):
    with open(path) as file:
        return file.read()
"""


def hostile_programs(
    secret: Path, written: Path, port: int, parent: int
) -> dict[str, tuple[str, object, object]]:
    """Return (program, argument, wanted) by name; every one needs the machine outside to succeed."""
    return {
        # The verdict.
        "sys.exit(0)": ("import sys\ndef attack(x): sys.exit(0)", 1, 2),
        "sys.exit(0) at once": ("import sys\nsys.exit(0)", 1, 2),
        "os._exit(0)": ("import os\ndef attack(x): os._exit(0)", 1, 2),
        "equal to everything": (
            (
                "class A:\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\n"
                "def attack(x): return A()"
            ),
            1,
            2,
        ),
        "an int equal to everything": (
            (
                "class A(int):\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\n"
                "def attack(x): return A(7)"
            ),
            1,
            2,
        ),
        "assertions made void": (
            (
                "import builtins\nbuiltins.AssertionError = type('N', (BaseException,), {})\n"
                "import sys\nsys.flags = None\ndef check(c): pass\ndef attack(x): return None"
            ),
            1,
            2,
        ),
        "a printed verdict": (
            (
                'import os\nfor fd in range(1, 64):\n    try: os.write(fd, b\'{"kind": "passed", "detail": ""}\\n\')\n'
                "    except OSError: pass\nos._exit(0)"
            ),
            1,
            2,
        ),
        "forged answers": (
            (
                'import os\nfor fd in range(1, 64):\n    try: os.write(fd, b\'["value", null]\\n["value", true]\\n\' * 99)\n'
                "    except OSError: pass\ndef attack(x): return None"
            ),
            1,
            2,
        ),
        "memory searched for the test": (
            (
                "import gc, re, sys\ndef attack(x):\n    texts = []\n    for o in gc.get_objects():\n"
                "        o = list(o.values()) if isinstance(o, dict) else o\n"
                "        texts += [str(v) for v in o if isinstance(v, (str, bytes))] if isinstance(o, (list, tuple)) else []\n"
                "    found = re.search('candidate.1. == ([0-9]+)', ' '.join(texts))\n"
                "    return int(found[1]) if found else None"
            ),
            1,
            73219,
        ),
        "an answer too large": ("def attack(x):\n    return 'x' * (1 << 29)", 1, 2),
        "an answer too deep": (
            "def attack(x):\n    a = []\n    for _ in range(10**6): a = [a]\n    return a",
            1,
            2,
        ),
        # Files.
        "a secret file": (_PATHS, str(secret), secret.read_text()),
        "the password file": (_PATHS, "/etc/passwd", Path("/etc/passwd").read_text()),
        "the environment in /proc": (
            "def attack(pid):\n    return len(open(f'/proc/{pid}/environ').read() + open('/proc/1/environ').read()) > 0",
            parent,
            True,
        ),
        "a file written outside": (
            "def attack(path):\n    open(path, 'w').write('was here')\n    return True",
            str(written),
            True,
        ),
        "the standard library changed": (
            "import os, json\ndef attack(x):\n    os.chmod(json.__file__, 0o777)\n    open(json.__file__, 'a').write('#')\n    return True",
            1,
            True,
        ),
        "a symbolic link out": (
            "import os\ndef attack(path):\n    os.symlink(path, 'link')\n    return open('link').read()",
            str(secret),
            secret.read_text(),
        ),
        "a full disk": (
            "def attack(x):\n    for n in range(10_000):\n        open(f'f{n}', 'wb').write(bytes(1 << 20))\n    return True",
            1,
            True,
        ),
        # The network.
        "a connection to this machine": (
            "import socket\ndef attack(port):\n    socket.create_connection(('127.0.0.1', port), 2)\n    return True",
            port,
            True,
        ),
        "the cloud's metadata": (
            "import urllib.request\ndef attack(x):\n    urllib.request.urlopen('http://169.254.169.254/latest/meta-data/', timeout=2)\n    return True",
            1,
            True,
        ),
        "a name looked up": (
            "import socket\ndef attack(x):\n    return bool(socket.getaddrinfo('localhost', 80, 0, 1)) and bool(socket.socket())",
            1,
            True,
        ),
        # Processes and the kernel.
        "a fork bomb": ("import os\ndef attack(x):\n    while True: os.fork()", 1, None),
        "a shell": (
            "import subprocess\ndef attack(x):\n    return subprocess.run(['/bin/sh', '-c', 'echo out'], capture_output=True, text=True).stdout",
            1,
            "out\n",
        ),
        "its parent killed": (
            "import os, signal\ndef attack(pid):\n    os.kill(pid, signal.SIGKILL)\n    return True",
            parent,
            True,
        ),
        "another root": (
            (
                "import ctypes\ndef attack(x):\n    libc = ctypes.CDLL(None, use_errno=True)\n"
                "    return libc.unshare(0x10000000) == 0 or libc.mount(b'none', b'/work', b'tmpfs', 0, None) == 0 or libc.chroot(b'/work') == 0"
            ),
            1,
            True,
        ),
        "a process traced": (
            "import ctypes\ndef attack(pid):\n    libc = ctypes.CDLL(None)\n    return libc.ptrace(16, pid, None, None) == 0 or libc.ptrace(0, 0, None, None) == 0",
            parent,
            True,
        ),
        "all memory": (
            "def attack(x):\n    kept = []\n    while True: kept.append(bytearray(1 << 24))",
            1,
            None,
        ),
        "memory outside the address space": (
            "import ctypes\ndef attack(x):\n    return ctypes.CDLL(None).shmget(0, 1 << 34, 0o1600) >= 0",
            1,
            True,
        ),
        "threads without end": (
            "import threading, time\ndef attack(n):\n    for _ in range(n): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    return n",
            5000,
            5000,
        ),
        # Time.
        "an endless loop": ("def attack(x):\n    while True: pass", 1, None),
        "an endless sleep": ("import time\ndef attack(x): time.sleep(1e6)", 1, None),
        "an endless loop at once": ("while True: pass", 1, None),
        "an endless number": ("def attack(x): return 9 ** 9 ** 9", 1, None),
        "endless output": ("def attack(x):\n    while True: print('x' * 65536)", 1, None),
        "signals ignored": (
            (
                "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
                "def attack(x):\n    while True: pass"
            ),
            1,
            None,
        ),
    }
