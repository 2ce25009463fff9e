"""The child process that hosts llama.cpp: run as a script by `rag.providers.llamacpp`.

It imports nothing of ours. It reads one JSON line of parameters from stdin, starts the server on a free
loopback port, writes one JSON line, `{"url": ...}` or `{"error": ...}`, to stdout, and lives until stdin
closes or its parent is gone. PR_SET_PDEATHSIG is not used: it fires when the parent's *thread* ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any

__all__: list[str] = []

_LOOK_S = 1.0


def _start(given: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given["model"]
    params.model_alias = {given["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the system picks a free one and the server says which: no race
    params.api_keys = [given["key"]]
    params.n_ctx = given["n_ctx"]
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given["threads"]
    params.cache_ram_mib = 0  # the slot's own prefix cache is enough for one conversation at a time
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = 1  # errors only
    return xllamacpp.Server(params)


def _main() -> None:
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp prints goes to the log
    try:
        server = _start(json.loads(sys.stdin.readline()))
    except (RuntimeError, OSError, ImportError, AttributeError) as exc:
        print(json.dumps({"error": str(exc)}), file=reply, flush=True)
        sys.exit(1)
    print(json.dumps({"url": server.listening_address}), file=reply, flush=True)
    while os.getppid() == parent:
        if select.select([0], [], [], _LOOK_S)[0] and not os.read(0, 1):
            break
    os._exit(0)  # no orderly end of the server's threads: nothing of it is kept


if __name__ == "__main__":
    _main()
