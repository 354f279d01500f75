"""What it costs to include a header: preprocessed lines, and time to compile nothing else."""
import os
import shlex
import subprocess
import tempfile
import time

STANDARD = "<chrono> <functional> <thread>"
QUEUE = "<posthaste/detail/concurrentqueue.hpp>"  # where concurrentqueue.h is, differs

# workload: contender: headers
INCLUDES = {
    "include the library": {
        "posthaste": "<posthaste/posthaste.hpp>",
        "floor: what it is built on": f"{QUEUE} {STANDARD}",
    },
    "include what handlers and tasks need": {
        "posthaste": "<posthaste/base/result.hpp> <posthaste/run/task.hpp> "
                     "<posthaste/serve/message.hpp> <posthaste/wait/context.hpp>",
        "floor: coroutine and chrono": "<chrono> <coroutine>",
    },
}


class Include:
    """Some headers, in a source file that has nothing else."""

    def __init__(self, compiler, workload, contender, headers):
        self.compiler, self.workload, self.contender = shlex.split(compiler), workload, contender
        self.source = "".join(f"#include {h}\n" for h in headers.split())

    def measure(self):
        with tempfile.TemporaryDirectory() as directory:
            source, out = os.path.join(directory, "a.cpp"), os.path.join(directory, "out")
            with open(source, "w", encoding="ascii") as file:
                file.write(self.source)
            subprocess.run([*self.compiler, "-E", "-P", source, "-o", out], check=True)
            with open(out, encoding="utf-8", errors="replace") as text:
                lines = sum(1 for line in text if line.strip())
            began = time.monotonic()
            subprocess.run([*self.compiler, "-c", source, "-o", out], check=True)
            return [("lines", lines), ("ms", (time.monotonic() - began) * 1e3)], None


def contenders(compiler):
    return [Include(compiler, workload, contender, headers)
            for workload, by_contender in INCLUDES.items()
            for contender, headers in by_contender.items()]
