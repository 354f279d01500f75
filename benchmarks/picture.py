"""The results in a picture and a short table, for README."""
from html import escape

BASELINE = "posthaste"
HEADLINES = [  # the workloads that are shown, if they were measured
    "await a task",
    "call an idle endpoint",
    "call an endpoint that is busy",
    "call an idle endpoint, two threads at once",
    "64 callers, one endpoint, one thread",
    "send 8 bytes in order, 1 producer",
    "send 8 bytes in order, 4 producers",
    "send 8 bytes in any order, 4 producers",
    "send to a full queue, 4 producers",
    "publish to 8",
    "spawn tasks, one thread",
    "ring of 10,000 endpoints",
]
WIDTH, LABEL, BAR, LINE = 800, 250, 400, 18
NO_LIBRARY = ("mutex", "a mutex", "a thread", "std::")  # what one would write
MOST_OTHERS = 4
CAP = 5.0  # bars end here; the number beside them does not

# A card of its own, so that the text can be read on whatever is behind the picture.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.card { fill: #ffffff }
.title { font-weight: 600 }
.quiet { fill: #6e7781 }
.ours { fill: #1f6feb } .floor { fill: #8c959f } .other { fill: #d4843e }
.axis { stroke: #8c959f; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
.ours { fill: #4493f8 } .floor { fill: #656c76 } .other { fill: #c9803f }
}
"""


def kind(contender):
    if contender.startswith(BASELINE):
        return "ours"
    return "floor" if contender.startswith("floor: ") else "other"


def shown(group):
    """posthaste without its variants, the floors, and of the others the fastest, and the fastest
    that uses no library."""
    others = [r for r in group if kind(r["contender"]) == "other"]
    own = [r for r in others if r["contender"].startswith(NO_LIBRARY)]
    return ([r for r in group if r["contender"] == BASELINE or kind(r["contender"]) == "floor"]
            + others[:MOST_OTHERS] + [r for r in own[:1] if r not in others[:MOST_OTHERS]])


def headlines(rows):
    """[(workload, rows of it, as they are sorted)], where posthaste and another one were measured."""
    of = [(w, [r for r in rows if r["workload"] == w]) for w in HEADLINES]
    return [(w, some) for w, some in of
            if len(some) > 1 and any(r["contender"] == BASELINE for r in some)]


def times(ratio):
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.1f} ×" if ratio >= 10 else f"{ratio:.2f} ×"


def nanoseconds(value):
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def svg(rows):
    y, out = 44, []
    for workload, group in headlines(rows):
        out.append(f'<text class="title" x="8" y="{y}">{escape(workload)}</text>')
        y += 8
        one, group = LABEL + BAR / CAP, shown(group)
        out.append(f'<path class="axis" d="M{one:.1f} {y}v{len(group) * LINE}"/>')
        for r in group:
            ratio = r["ratio_to_posthaste"]
            length = min(ratio, CAP) / CAP * BAR
            beyond = "» " if ratio > CAP else ""
            out.append(
                f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(r["contender"])}</text>'
                f'<rect class="{kind(r["contender"])}" x="{LABEL}" y="{y + 3}" '
                f'width="{max(length, 1):.1f}" height="{LINE - 5}" rx="2"/>'
                f'<text x="{LABEL + length + 6:.1f}" y="{y + 13}">{beyond}{times(ratio)} '
                f'<tspan class="quiet">{nanoseconds(r["median"])}</tspan></text>')
            y += LINE
        y += 26
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" role="img">\n<title>Time per operation, in multiples of '
            f"posthaste's</title>\n<style>{STYLE}</style>\n"
            f'<rect class="card" width="{WIDTH}" height="{y}" rx="6"/>\n'
            '<text class="quiet" x="8" y="18">Time per operation, in multiples of posthaste\'s: '
            'shorter is faster. Medians.</text>\n' + "\n".join(out) + "\n</svg>\n")


def short_table(rows):
    """posthaste, the floor that is nearest, the fastest of the others."""
    lines = ["| workload | posthaste | floor | fastest of the others |", "|---|---:|---:|---|"]
    for workload, group in headlines(rows):
        def best(of, which):
            found = [r for r in group if kind(r["contender"]) == of]
            return which(found, key=lambda r: r["median"]) if found else None
        ours = next(r for r in group if r["contender"] == BASELINE)
        floor, other = best("floor", max), best("other", min)
        lines.append(f'| {workload} | {nanoseconds(ours["median"])} | '
                     + (nanoseconds(floor["median"]) if floor else "") + " | "
                     + (f'{other["contender"]}: {times(other["ratio_to_posthaste"])}'
                        if other else "") + " |")
    return "\n".join(lines)
