#!/usr/bin/env python3
"""Measures the suite, prints it as a table, and writes results.json and results.svg.

A benchmark is named `workload/contender`; contenders of one workload, of whatever program, are
compared with one another. In each round every benchmark is measured once, in a process of its own:
the workloads in random order, and the contenders of one workload side by side, in random order too.
So what disturbs the machine for a while disturbs all of them alike: ratios of one run hold where
its times do not. A ratio is that of the medians, to the contender `posthaste` of the workload.

A time is for one operation (workloads.hpp says of what). How long the headers take to compile is
measured in the same rounds.
"""
import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time

import compile_cost
import picture

BASELINE = "posthaste"
TIMEOUT = 120  # seconds for a single measurement


class Benchmark:
    """One contender of one workload, in a Google Benchmark program."""

    def __init__(self, program, name, min_time):
        self.program, self.name, self.min_time = program, name, min_time
        parts = name.split("/")  # workload/contender/real_time, or .../iterations:1/manual_time
        if len(parts) < 3:
            sys.exit(f"{name}: a benchmark is named workload/contender")
        self.workload, self.contender = parts[:2]

    def measure(self):
        """[(unit, value)], and allocations per operation or None."""
        only = re.sub(r"([][.*+?(){}|^$\\])", r"\\\1", self.name)
        command = [self.program, f"--benchmark_filter=^{only}$", "--benchmark_format=json",
                   f"--benchmark_min_time={self.min_time}"]
        try:
            done = subprocess.run(command, timeout=TIMEOUT, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired:
            sys.exit(f"{self.name}: not done after {TIMEOUT} s")
        if done.returncode:
            said = done.stderr.strip().splitlines()
            sys.exit(f"{self.name}: {said[-1] if said else f'ended with {done.returncode}'}")
        runs = json.loads(done.stdout)["benchmarks"]
        if len(runs) != 1:
            sys.exit(f"{self.name}: measured {len(runs)} times")
        run = runs[0]
        if run.get("error_occurred"):
            sys.exit(f"{self.name}: {run.get('error_message')}")
        units = [(key[3:], value) for key, value in run.items() if key.startswith("in ")]
        if units:  # it has measured itself
            return units, None
        rate = run.get("items_per_second")
        assert rate or run["time_unit"] == "ns", self.name
        return [("ns", 1e9 / rate if rate else run["real_time"])], run.get("allocations_per_op")


def benchmarks_of(program, min_time):
    listed = subprocess.run([program, "--benchmark_list_tests=true"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    return [Benchmark(program, name, min_time) for name in listed.splitlines()]


def in_turns(contenders):
    """One round: the contenders of a workload side by side."""
    by_workload = {}
    for c in contenders:
        by_workload.setdefault(c.workload, []).append(c)
    groups = list(by_workload.values())
    random.shuffle(groups)
    for group in groups:
        random.shuffle(group)
        yield from group


def measure_all(contenders, rounds):
    measured = {}  # (workload, contender, unit): [value], [allocations]
    for number in range(1, rounds + 1):
        if not sys.stderr.isatty():
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        for done, c in enumerate(in_turns(contenders), 1):
            if sys.stderr.isatty():
                print(f"\r\033[Kround {number} of {rounds}, {done} of {len(contenders)}: "
                      f"{c.workload}/{c.contender}", end="", file=sys.stderr, flush=True)
            values, allocations = c.measure()
            for unit, value in values:
                of = measured.setdefault((c.workload, c.contender, unit), ([], []))
                of[0].append(value)
                if allocations is not None:
                    of[1].append(allocations)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return measured


def results(contenders, measured):
    rows = [{"workload": workload, "contender": contender, "unit": unit,
             "median": statistics.median(values), "min": min(values), "max": max(values),
             "rounds": len(values),
             "allocations_per_op": statistics.median(allocations) if allocations else None}
            for (workload, contender, unit), (values, allocations) in measured.items()]
    base = {(row["workload"], row["unit"]): row["median"]
            for row in rows if row["contender"] == BASELINE}
    for row in rows:
        ours = base.get((row["workload"], row["unit"]))
        row["ratio_to_posthaste"] = row["median"] / ours if ours else None
    order = list(dict.fromkeys(c.workload for c in contenders))
    return sorted(rows, key=lambda r: (order.index(r["workload"]), r["unit"],
                                       r["contender"] != BASELINE,
                                       not r["contender"].startswith(BASELINE), r["median"]))


def number(value, digits=3):
    """With so many digits, and no exponent."""
    if value is None:
        return "-"
    if value and abs(value) < 0.005:
        return "0.00"
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def table(rows):
    cells = [("workload", "contender", "unit", "median", "min", "max", "ratio", "allocations")]
    before = None
    for r in rows:
        name = r["workload"] if r["workload"] != before else ""
        before = r["workload"]
        cells.append((name, r["contender"], r["unit"], number(r["median"]), number(r["min"]),
                      number(r["max"]), number(r["ratio_to_posthaste"]),
                      number(r["allocations_per_op"])))
    widths = [max(map(len, column)) for column in zip(*cells)]
    cells.insert(1, ["-" * w if i < 3 else "-" * (w - 1) + ":" for i, w in enumerate(widths)])
    for row in cells:
        print("| " + " | ".join(c.ljust(w) if i < 3 else c.rjust(w)
                                for i, (c, w) in enumerate(zip(row, widths))) + " |")


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
    parser.add_argument("--out", required=True, help="results.json; results.svg goes beside it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--min-time", default="0.1",
                        help="seconds a measurement, as the programs take it")
    parser.add_argument("--only", default="", help="workloads whose name has this regex in it")
    parser.add_argument("--smoke", action="store_true", help="one short round: do they run?")
    parser.add_argument("--compiler", help="the compiler command, for what the headers cost")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.min_time = 1, "0.001"
        os.environ["POSTHASTE_SMOKE"] = "1"

    contenders = [b for p in options.programs for b in benchmarks_of(p, options.min_time)]
    if options.compiler:
        contenders += compile_cost.contenders(options.compiler)
    contenders = [c for c in contenders if re.search(options.only, c.workload)]
    if not contenders:
        sys.exit("nothing to measure")

    before = machine_seconds()
    rows = results(contenders, measure_all(contenders, options.rounds))
    with open(options.out, "w", encoding="utf-8") as out:
        json.dump(rows, out, indent=2)
        out.write("\n")
    with open(os.path.splitext(options.out)[0] + ".svg", "w", encoding="utf-8") as out:
        out.write(picture.svg(rows))
    table(rows)
    print("\n" + picture.short_table(rows))
    if before:
        after = machine_seconds()
        load = foreign_load(before, after)
        print(f"{after[2] - before[2]:.0f} s; others kept {load:.2f} of {os.cpu_count()} processors "
              "busy meanwhile" + ("; trust the ratios only" if load > 0.15 else ""))


if __name__ == "__main__":
    main()
