"""Throughput: several processes and threads that compute at once, all with libcdm as it comes, or all with one library set by hand.

The arrangements by hand run once each; libcdm and the best of them then take turns, and the figure is the median over the rounds
of libcdm's Gflop / theirs.
"""
import select
import statistics
import subprocess
import time

import libraries
from table import spread

BAR = 0.98
FINALISTS = 3
PATIENCE = 30  # seconds until all are warm
ARRANGEMENTS = [("4 processes", 4, 1), ("8 threads", 1, 8), ("4 processes of 8 threads", 4, 8)]


class Group:
    """Processes of `callers` that begin and end together."""

    def __init__(self, processes, command, env):
        self.running = [subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                        for _ in range(processes)]

    def line(self, run):
        ready, _, _ = select.select([run.stdout], [], [], PATIENCE)
        return run.stdout.readline().strip() if ready else ""

    def gflops(self, seconds):
        """Done per second, all together; None: one of them failed, or hung."""
        try:
            if any(self.line(run) != "ready" for run in self.running):
                return None
            begin = time.monotonic() + 0.02
            for run in self.running:
                run.stdin.write(f"{begin} {begin + seconds}\n")
                run.stdin.flush()
            done = [self.line(run) for run in self.running]
            if any(run.wait(PATIENCE) for run in self.running):
                return None
            return sum(map(float, done)) / seconds
        except (BrokenPipeError, subprocess.TimeoutExpired, ValueError):
            return None
        finally:
            for run in self.running:
                run.kill()
                run.wait()
                run.stdin.close()
                run.stdout.close()


def measure(table, arrangement, work, env, seconds):
    _, processes, threads = arrangement
    command = [f"{table.build}/tests/bench/callers", str(threads), *map(str, work)]
    return Group(processes, command, table.env(**env)).gflops(seconds)


def compare(table, arrangement, work, settings, seconds, rounds):
    """libcdm / the best arrangement by hand, round by round, and who that is."""
    def of(env):
        return measure(table, arrangement, work, env, seconds)

    tried = {s: of(s.env) for s in settings}
    finalists = sorted((s for s in settings if tried[s]), key=tried.get, reverse=True)[:FINALISTS]
    ours, theirs = [], {s: [] for s in finalists}
    for i in range(rounds):
        order = [None, *finalists]
        for s in order if i % 2 else order[::-1]:
            got = of(table.libcdm() if s is None else s.env)
            if got is None and s is None:
                raise RuntimeError("callers with libcdm failed")
            if got is None:  # OpenBLAS 0.3.21 with several threads and callers does hang now and then
                table.text(f"{arrangement[0]}, {work[0]} {work[1]}: {s.label} failed or hung")
            (ours if s is None else theirs[s]).append(got)
    if not finalists:
        raise RuntimeError("no library by hand to compare with")
    done = {s: statistics.median(g for g in theirs[s] if g) for s in finalists if any(theirs[s])}
    if not done:
        raise RuntimeError("every arrangement by hand failed")
    best = max(done, key=done.get)
    ratios = [a / b for a, b in zip(ours, theirs[best]) if b]
    gflops = dict(libcdm=statistics.median(ours), **{s.label: done[s] for s in done})
    return dict(arrangement=arrangement[0], routine=work[0], n=work[1], best=best.label, ratio=statistics.median(ratios),
                spread=spread(ratios), gflops=gflops, tried={s.label: tried[s] for s in settings})


def throughput(table):
    sizes = table.pick([64, 128, 256, 512, 1024], [64, 256, 1024], [64])
    work = [("gemm", n) for n in sizes] + table.pick([("mixed", 512)], [("mixed", 512)], [])
    arrangements = table.pick(ARRANGEMENTS, ARRANGEMENTS, [("2 processes of 2 threads", 2, 2)])
    sweep = f"{table.build}/tests/bench/sweep"
    settings = [s for s in libraries.by_hand(table.base, sweep, libraries.NEW_CORES) if not s.args and s.library != "netlib"]
    settings = settings if table.mode == "full" else [s for s in settings if s.library == "OpenBLAS"][:table.pick(None, None, 1)]
    out = []
    for arrangement in arrangements:
        for kind in work:
            got = compare(table, arrangement, kind, settings, table.pick(0.6, 0.4, 0.05), table.pick(5, 3, 1))
            out.append(got)
            what = f"{arrangement[0]}, {'d' + kind[0] if kind[0] != 'mixed' else 'dgemm and dgetrf'} n={kind[1]}"
            table.add(f"{what}: libcdm / by hand ({got['best']})", ">=", BAR, got["ratio"], "x", got["spread"])
    table.data["throughput"] = out


ROWS = [("throughput", throughput, "8 min, quick 2 min")]
