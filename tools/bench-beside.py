#!/usr/bin/env python3
"""bench-beside.py ROUNDS UNIT less|more ROW... - our command beside others, in turns, as a table of ratios.

A ROW is four arguments: a name, a regular expression with one group, a folder and a shell command. The first row is ours.
Each of the others runs right after a fresh run of ours, because on a shared machine only neighbours in time can be compared;
the number that counts is the median of the expression's matches in what a command prints. The ratio says how much better
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


def run(row):
    """The number, the peak in MB, the cores that others kept busy."""
    name, pattern, folder, command = row
    before, own, begun = busy(), resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    child = subprocess.Popen(["bash", "-c", "exec " + command], cwd=folder, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    found = re.findall(pattern, text)
    if child.returncode or not found:
        sys.exit(f"{name}: status {child.returncode}, no '{pattern}' in:\n{text}")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    others = max(0, busy() - before - cpu) / (time.time() - begun)
    number = statistics.median(float(x) for x in found)
    print(f"  {name}: {number:g}, peak {used.ru_maxrss / 1e3:.0f} MB, others' CPU {others:.2f}", file=sys.stderr, flush=True)
    return number, used.ru_maxrss / 1e3, others


def wait_for_quiet(limit, seconds):
    """Until five seconds in a row were quiet, or so many seconds are over."""
    end, calm = time.time() + seconds, 0
    while calm < 5 and time.time() < end:
        before = busy()
        time.sleep(1)
        calm = calm + 1 if busy() - before < limit else 0


def run_pair(ours, peer):
    best, limit = None, float(os.environ.get("QUIET", 0.2))
    for _ in range(int(os.environ.get("TRIES", 4))):
        wait_for_quiet(limit, float(os.environ.get("WAIT", 0)))
        pair = run(ours), run(peer)
        noise = max(pair[0][2], pair[1][2])
        if best is None or noise < best[0]:
            best = noise, pair
        if noise <= limit:
            break
    return best[1]


def middle(values, form):
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} [{min(values):{form}}, {max(values):{form}}]"


def main():
    rounds, unit, better = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    rest = sys.argv[4:]
    rows = [rest[i:i + 4] for i in range(0, len(rest), 4)]
    assert better in ("less", "more") and len(rest) % 4 == 0 and len(rows) > 1
    taken = {row[0]: [] for row in rows}
    for _ in range(rounds):
        for peer in rows[1:]:
            ours, theirs = run_pair(rows[0], peer)
            taken[rows[0][0]].append(ours)
            taken[peer[0]].append((*theirs, ours[0] / theirs[0] if better == "more" else theirs[0] / ours[0]))
    print(f"| row | {unit} | ours beside it is better by | peak memory | others' CPU |\n|---|---|---|---|---|")
    for name, got in taken.items():
        ratio = middle([g[3] for g in got], ".2f") if len(got[0]) > 3 else ""
        print(f"| {name} | {middle([g[0] for g in got], '.4g')} | {ratio} | {max(g[1] for g in got):.0f} MB | "
              f"{statistics.mean(g[2] for g in got):.2f} |")
    print(f"{rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


main()
