#!/usr/bin/env python3
"""Runs Google Benchmark programs, prints a table, and writes results.json.

A benchmark is named `workload/contender[/arguments]`. Its arguments (and thread count) belong to the
workload: `send/posthaste/4` and `send/mutex_queue/4` are compared with one another. The time is
per item where the benchmark calls SetItemsProcessed, else per iteration; the counter
`allocations_per_op` is copied. Rounds of all benchmarks of one program are run in random order, so
that what disturbs the machine disturbs all of them alike: ratios of one run hold where its times do
not. A ratio is that of the medians, to the contender `posthaste` of the same workload.
"""
import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
BASELINE = "posthaste"


def rounds(program, repetitions, min_time):
    """Every single measurement (not the aggregates) that the program makes."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [program, "--benchmark_enable_random_interleaving=true",
                   f"--benchmark_repetitions={repetitions}", "--benchmark_out_format=json",
                   "--benchmark_format=json", f"--benchmark_out={out.name}",
                   f"--benchmark_min_time={min_time}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [b for b in json.load(out)["benchmarks"] if b["run_type"] == "iteration"]


def identify(run_name):
    """`send/posthaste/4/real_time/threads:2` -> ("send/4/threads:2", "posthaste")"""
    parts = [p for p in run_name.split("/")
             if p not in ("real_time", "process_time", "manual_time")
             and not re.match(r"(iterations|repeats|min_time|min_warmup_time):", p)]
    if len(parts) < 2:
        sys.exit(f"{run_name}: a benchmark is named workload/contender[/arguments]")
    return "/".join([parts[0]] + parts[2:]), parts[1]


def nanoseconds(run):
    if "items_per_second" in run:  # by the clock that the benchmark chose
        return 1e9 / run["items_per_second"]
    wall = re.search("/(real|manual)_time", run["name"])
    return run["real_time" if wall else "cpu_time"] * NANOSECONDS[run["time_unit"]]


def results(runs):
    measured = {}
    for run in runs:
        if run.get("error_occurred"):
            sys.exit(f"{run['name']}: {run.get('error_message')}")
        measured.setdefault(identify(run["run_name"]), []).append(run)
    rows = []
    for (workload, contender), group in measured.items():
        times = [nanoseconds(run) for run in group]
        counts = [run["allocations_per_op"] for run in group if "allocations_per_op" in run]
        rows.append({
            "workload": workload, "contender": contender, "unit": "ns/op",
            "median": statistics.median(times), "min": min(times), "max": max(times),
            "rounds": len(times),
            "allocations_per_op": statistics.median(counts) if counts else None,
        })
    base = {row["workload"]: row["median"] for row in rows if row["contender"] == BASELINE}
    for row in rows:
        ours = base.get(row["workload"])
        row["ratio_to_posthaste"] = row["median"] / ours if ours else None
    return sorted(rows, key=lambda r: (r["workload"], r["contender"] != BASELINE, r["contender"]))


def table(rows):
    def number(value, digits):
        return "-" if value is None else f"{value:.{digits}f}"
    cells = [("workload", "contender", "median ns/op", "min", "max", "rounds", "allocs/op", "ratio")]
    cells += [(r["workload"], r["contender"], number(r["median"], 1), number(r["min"], 1),
               number(r["max"], 1), str(r["rounds"]), number(r["allocations_per_op"], 3),
               number(r["ratio_to_posthaste"], 2)) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for row in cells:
        print("  ".join(c.ljust(w) if i < 2 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(row, widths))).rstrip())


def machine_seconds():
    """Processor time that the whole machine has used, our children have, and the wall clock."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    except (OSError, ValueError):
        return None  # only Linux has it
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return busy, own.ru_utime + own.ru_stime, time.monotonic()


def foreign_load(before, after):
    """Processors that others kept busy meanwhile."""
    busy, own, wall = (b - a for a, b in zip(before, after))
    return max(0.0, (busy - own) / wall)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--min-time", default="0.15",
                        help="seconds a round, as the programs take it")
    parser.add_argument("--smoke", action="store_true", help="one short round: do they run?")
    parser.add_argument("programs", nargs="+")
    options = parser.parse_args()
    if options.smoke:
        options.repetitions, options.min_time = 1, "0.01"
    before = machine_seconds()
    runs = [run for program in options.programs
            for run in rounds(program, options.repetitions, options.min_time)]
    rows = results(runs)
    if not rows:
        sys.exit("no benchmark was run")
    with open(options.out, "w", encoding="utf-8") as out:
        json.dump(rows, out, indent=2)
        out.write("\n")
    table(rows)
    if before:
        load = foreign_load(before, machine_seconds())
        print(f"others kept {load:.2f} of {os.cpu_count()} processors busy meanwhile"
              + ("; trust the ratios only" if load > 0.15 else ""))


if __name__ == "__main__":
    main()
