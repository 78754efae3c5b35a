#!/usr/bin/env python3
"""bench-beside.py ROUNDS UNIT less|more ROW... - our command beside others, in turns, as a table of ratios.

A ROW is four arguments: a name, a regular expression, a folder and a shell command. The first row is ours; ONLY (environment)
is an expression that the names of the others have to match.
Each of the others runs right after a fresh run of ours, because on a shared machine only neighbours in time can be compared;
the number that counts is the median of the expression's first group in what a command prints, and its second group, or the
best of the first, is what the command reached undisturbed. The ratio says how much better
ours was (UNIT `more` is better, or `less`), as the median of the rounds and its extremes. "others' CPU" is how many
cores were busy with anything else meanwhile, other guests of the machine (steal) included. A pair with more than QUIET (environment,
default .2) is taken again, at most TRIES times (default 4), then the quietest of them stays. WAIT (default 0) is for how many seconds
to wait for a quiet machine before each pair. Peak memory is the process's largest resident set.
"""
import os, re, resource, statistics, subprocess, sys, time


def busy():
    """Seconds that all cores together have worked, for us or for other guests."""
    field = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (field[0] + field[1] + field[2] + field[5] + field[6] + field[7]) / os.sysconf("SC_CLK_TCK")


def run(row, less):
    """The usual number, the best, the peak in MB, the cores that others kept busy."""
    name, pattern, folder, command = row
    before, own, begun = busy(), resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    child = subprocess.Popen(["bash", "-c", "exec " + command], cwd=folder, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    found = [m.groups() for m in re.finditer(pattern, text)]
    if child.returncode or not found:
        sys.exit(f"{name}: status {child.returncode}, no '{pattern}' in:\n{text}")
    usual = statistics.median(float(f[0]) for f in found)
    best = (min if less else max)(float(f[-1]) for f in found)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    others = max(0, busy() - before - cpu) / (time.time() - begun)
    print(f"{name}: {usual:g}, best {best:g}, peak {used.ru_maxrss / 1e3:.0f} MB, others' CPU {others:.2f}", file=sys.stderr)
    print("\n".join("    " + line for line in text.splitlines()[-12:]), file=sys.stderr, flush=True)
    return usual, best, used.ru_maxrss / 1e3, others


def wait_for_quiet(limit, seconds):
    """Until five seconds in a row were quiet, or so many seconds are over."""
    end, calm = time.time() + seconds, 0
    while calm < 5 and time.time() < end:
        before = busy()
        time.sleep(1)
        calm = calm + 1 if busy() - before < limit else 0


def run_pair(ours, peer, less):
    kept, limit = None, float(os.environ.get("QUIET", 0.2))
    for _ in range(int(os.environ.get("TRIES", 4))):
        wait_for_quiet(limit, float(os.environ.get("WAIT", 0)))
        pair = run(ours, less), run(peer, less)
        noise = max(pair[0][3], pair[1][3])
        if kept is None or noise < kept[0]:
            kept = noise, pair
        if noise <= limit:
            break
    return kept[1]


def middle(values, form):
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} [{min(values):{form}}, {max(values):{form}}]"


def print_row(name, got, ratios):
    cells = [name, middle([g[0] for g in got], ".4g"), middle([g[1] for g in got], ".4g"),
             *(middle(r, ".2f") if r else "" for r in ratios), f"{max(g[2] for g in got):.0f} MB",
             f"{statistics.mean(g[3] for g in got):.2f}"]
    print("| " + " | ".join(cells) + " |")


def main():
    rounds, unit, less, rest = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "less", sys.argv[4:]
    ours, *peers = [rest[i:i + 4] for i in range(0, len(rest), 4)]
    peers = [p for p in peers if re.search(os.environ.get("ONLY", ""), p[0])]
    taken = {p[0]: [] for p in peers}
    for _ in range(rounds):
        for peer in peers:
            taken[peer[0]].append(run_pair(ours, peer, less))
    print(f"| row | {unit} | best | ours is better by | by best | peak memory | others' CPU |\n|---|---|---|---|---|---|---|")
    print_row(ours[0], [pair[0] for pairs in taken.values() for pair in pairs], ([], []))
    for name, pairs in taken.items():
        print_row(name, [theirs for _, theirs in pairs],
                  [[b[k] / a[k] if less else a[k] / b[k] for a, b in pairs] for k in (0, 1)])
    print(f"{rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


main()
