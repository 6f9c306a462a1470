"""`make pocket`: everything from nothing, each part resumable, in the order in which the parts need each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence

import torch
from filelock import FileLock, Timeout

from pocket import plots
from pocket.adapters import ROUNDS
from pocket.parts import PARTS, WORK

CORES = 2
"""How many there are taken to be where there is no GPU."""
PATIENCE = 0.2
"""Seconds between looks at what runs."""


def main(arguments: list[str]) -> int:
    """Runs the parts that are named, or all of them."""
    if unknown := [name for name in arguments if name not in PARTS]:
        print(f"There is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):  # or what it has started would go on without it
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, lambda *_: sys.exit(1))
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(WORK / "lock", timeout=0):
            names = with_data(arguments) if arguments else list(PARTS)
            if not run_all(names):
                return 1
            plots.write_curves(WORK, names)
    except Timeout:
        print(f"Another run is at work in {WORK}; wait until it has ended, or stop it.", file=sys.stderr)
        return 1
    return 0


def with_data(names: Sequence[str]) -> list[str]:
    """Each once; and before adapters what they are trained on, or each of their processes would write it."""
    return list(dict.fromkeys([*(["data"] if {*names} & {*ROUNDS} else []), *names]))


def run_all(names: Sequence[str]) -> bool:
    """Each once those that it needs are done; on a GPU all that can go, else as many as there is room for, two cores.

    Returns whether all went well. After a failure nothing is begun, and what runs is waited for; what interrupts this
    ends what runs.
    """
    waiting, well = list(names), True
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while running or (waiting and well):
            ready = (name for name in waiting if well and _ready(name, waiting, list(running)))
            if name := next(ready, None):
                waiting.remove(name)
                # In a session of its own: what interrupts this is passed on once, by `_end`.
                running[name] = subprocess.Popen(_command(name), env=_environment(), start_new_session=True)
                continue
            time.sleep(PATIENCE)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                if running.pop(name).returncode:
                    print(f"The part {name} has failed; what it said is above.", file=sys.stderr)
                    well = False
    finally:
        _end(running.values())
    return well


def _end(running: Collection[subprocess.Popen[bytes]]) -> None:
    if running:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would leave them without an end
    for process in running:
        process.terminate()
    for process in running:
        process.wait()


def _ready(name: str, waiting: Sequence[str], running: Sequence[str]) -> bool:
    if {*waiting, *running} & {*PARTS[name].needs}:
        return False
    return torch.cuda.is_available() or sum(CORES if PARTS[part].shared else 1 for part in (*running, name)) <= CORES


def _command(name: str) -> list[str]:
    alone = ["-m", "pocket.parts", name]
    if not PARTS[name].shared or torch.cuda.is_available():
        return [sys.executable, *alone]
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={CORES}", *alone]


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
