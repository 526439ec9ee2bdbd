"""Writes down which process it is, then becomes the program: NAME LOCK RECORD COMMAND...

Runs alone, without the rest of the package, as it starts in milliseconds then.
"""

import json
import os
import subprocess
import sys


def _start_time(pid: int) -> str:
    # As `local_gke.processes.start_time`, which reads what this writes.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            ticks = stat.read().rpartition(")")[2].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as boot:
            return f"{boot.read().strip()} {ticks}"
    except OSError:
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return answer.stdout.strip().partition(" ")[2].strip()


def _main() -> None:
    name, lock, record, *command = sys.argv[1:]
    # Kept until the program takes over: by then the record is there.
    os.set_inheritable(int(lock), False)
    document = {"name": name, "pid": os.getpid(), "started": _start_time(os.getpid())}
    part = f"{record}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(part, record)
    os.execv(command[0], command)


_main()
