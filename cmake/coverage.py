#!/usr/bin/env python3
"""How much of the headers the tests have run: lines and branches, by file and in all.

A line or a branch counts as covered if any instantiation of its template ran it, in any program.
Ends with 1 if there is too little. Below each file that is not covered as a whole, its gaps.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("profdata", "cov", "profiles", "binaries", "sources"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--least-lines", type=float, default=0)
    parser.add_argument("--least-branches", type=float, default=0)
    parser.add_argument("--gaps", action="store_true", help="name the lines that were not run")
    return parser.parse_args()


def programs(directory):
    for path in sorted(pathlib.Path(directory).iterdir()):
        if path.is_file() and os.access(path, os.X_OK) and not path.suffix:
            yield str(path)


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def lines_of(lcov, lines):
    """Adds {file: {line: count}} from an lcov trace."""
    name = None
    for entry in lcov.splitlines():
        if entry.startswith("SF:"):
            name = entry[3:]
        elif entry.startswith("DA:"):
            line, count = entry[3:].split(",")[:2]
            lines[name][int(line)] = max(lines[name].get(int(line), 0), int(count))


def branches_of(exported, branches):
    """Adds {file: {(where, which way): count}}."""
    for unit in exported["data"]:
        for file in unit["files"]:
            for begin, column, end, end_column, taken, not_taken, *_ in file["branches"]:
                where = (begin, column, end, end_column)
                ways = branches[file["filename"]]
                for way, count in ((True, taken), (False, not_taken)):
                    ways[where, way] = max(ways.get((where, way), 0), count)


def share(counts):
    return sum(1 for c in counts.values() if c), len(counts)


def percent(covered, all_of_them):
    return 100.0 * covered / all_of_them if all_of_them else 100.0


def main():
    o = options()
    lines = collections.defaultdict(dict)
    branches = collections.defaultdict(dict)
    looked_at = 0
    for program in programs(o.binaries):  # each with its own profiles, as equal names may differ
        raw = pathlib.Path(o.profiles).glob(os.path.basename(program) + ".*.profraw")
        raw = [str(p) for p in raw]
        if not raw:
            continue  # not run
        looked_at += 1
        merged = os.path.join(o.profiles, "merged.profdata")
        run(o.profdata, "merge", "--sparse", "-o", merged, *raw)
        common = (program, "--instr-profile=" + merged, "--sources", o.sources)
        lines_of(run(o.cov, "export", "--format=lcov", *common), lines)
        branches_of(json.loads(run(o.cov, "export", "--skip-functions", *common)), branches)
    if not looked_at:
        sys.exit("no profiles in " + o.profiles + ": run the tests first")

    total = [0, 0, 0, 0]
    print(f"{'header':44} {'lines':>14} {'branches':>16}")
    ours = os.path.abspath(o.sources) + os.sep
    for name in sorted(n for n in lines if n.startswith(ours)):
        figures = share(lines[name]) + share(branches[name])
        total = [a + b for a, b in zip(total, figures)]
        l, b = percent(*figures[:2]), percent(*figures[2:])
        print(f"{os.path.relpath(name, o.sources):44} {figures[0]:4}/{figures[1]:<4} {l:4.0f} %"
              f" {figures[2]:5}/{figures[3]:<4} {b:4.0f} %")
        if o.gaps:
            missed = [n for n, count in sorted(lines[name].items()) if not count]
            ways = sorted((w[0], w[1], way) for (w, way), c in branches[name].items() if not c)
            if missed:
                print("    lines", *missed)
            if ways:
                print("    branches", *(f"{a}:{c}{'+' if way else '-'}" for a, c, way in ways))
    l, b = percent(*total[:2]), percent(*total[2:])
    print(f"{'all of them':44} {total[0]}/{total[1]} {l:.1f} %  {total[2]}/{total[3]} {b:.1f} %")
    if l < o.least_lines or b < o.least_branches:
        sys.exit(f"too little: at least {o.least_lines} % of lines, {o.least_branches} % of branches")


if __name__ == "__main__":
    main()
