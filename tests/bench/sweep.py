"""Sweeps: libcdm, as it comes, beside every library set by hand, routine by routine over shapes and sizes.

A point goes like this. All processes are asked once, twice, in an order drawn by lot; then some more times those that are near
the best. The rival is whoever of the others has the least median of time / libcdm's time in the same round, and this median is the
point's figure: both terms are from the same moment. Where that is below BAR, or too good for somebody who calls the same
libraries, libcdm and the nearest rivals are asked again, and the figure is of these rounds alone, in which nobody has been chosen
for a lucky moment.

A process is lucky or not for as long as it lives: where its buffers lie among the caches' sets makes 30 % between two that run the same
library. The best of eight is lucky; so a point that is still below BAR is measured anew by LOOKS pairs of new processes, and the
figure is the median of these.
"""
import math
import random
import statistics

import libraries
import plot
import points
from server import Server
from table import spread

US = "libcdm"
BAR = 0.98
UNLIKELY = 1.04
FAR = 1.6  # of the best, at both of the last two sizes: no longer asked, once a call is EXPENSIVE
NEAR = 1.25  # of the best: asked again at this point
RIVALS = 3  # in a confirmation
NOISE = 0.04  # a wider middle half of the ratios, relatively: up to twice the rounds
UNSURE = 0.2  # a wider one still: the table says so
EXPENSIVE = 0.3e6  # ns
LOOKS, LOOKED = 7, 20e6  # pairs; ns: of longer calls every process has its share of luck
WARM_US = 100000  # of a new process: libcdm opens libraries when there has been some work for them
ROUNDS = [(20e6, 5, 9), (500e6, 4, 7), (math.inf, 3, 5)]  # calls up to ns: rounds, rounds of a confirmation


def rounds_of(ns):
    return next(counts for most, *counts in ROUNDS if ns <= most)


class Sweep:
    """columns: {name: something with ask(request), alive() and close()}, US among them. us: how long a fast call is repeated.
    new(name): another process of a column's."""

    def __init__(self, columns, us, seed=1, new=None):
        self.columns, self.us, self.new = columns, us, new
        self.random = random.Random(seed)

    # ---- one point ----

    def round(self, names, request):
        order = list(names)
        self.random.shuffle(order)
        answers = {name: self.columns[name].ask(request) for name in order}
        return {name: ns for name, ns in answers.items() if ns}

    def measure(self, point, names):
        """The point's figures, or None when there is nothing to compare."""
        request = point.request(self.us)
        rounds = [self.round(names, request), self.round(names, request)]
        least = least_of(rounds)
        if US not in least or len(least) < 2:
            return None
        count, again = rounds_of(min(least.values()))
        near = [name for name in least if name == US or least[name] <= NEAR * min_but_us(least)]
        rounds += [self.round(near, request) for _ in range(count - 2)]
        rival, ratios = versus_rival(rounds)
        while spread(ratios) > NOISE * statistics.median(ratios) and len(rounds) < 2 * count:
            rounds.append(self.round([US, *sorted((n for n in near if n != US), key=least_of(rounds).get)[:RIVALS]], request))
            rival, ratios = versus_rival(rounds)
        confirmed = not BAR <= statistics.median(ratios) <= UNLIKELY
        if confirmed:
            least = least_of(rounds)
            rivals = sorted((name for name in near if name != US), key=least.get)[:RIVALS]
            fresh = [self.round([US, *rivals], request) for _ in range(again)]
            rival, ratios = versus_rival(fresh, rounds)
            rounds += fresh
        return dict(point._asdict(), flops=point.flops(), ns=least_of(rounds), best=rival, ratio=statistics.median(ratios),
                    spread=spread(ratios), rounds=len(ratios), confirmed=confirmed,
                    versus={name: statistics.median(of) for name, of in all_ratios(rounds).items() if of})

    def look(self, point, rival):
        """time of the rival / libcdm's, each the least of a new process; None: one of them has no answer."""
        pair = {name: self.new(name) for name in (US, rival)}
        try:
            times = {name: [] for name in pair}
            for us in (WARM_US, self.us, self.us, self.us):
                for name in self.random.sample(list(pair), 2):
                    times[name].append(pair[name].ask(point.request(us)))
            least = {name: min(of[1:]) for name, of in times.items() if all(of)}
            return least[rival] / least[US] if len(least) == 2 else None
        finally:
            for server in pair.values():
                server.close()

    def anew(self, point, got):
        """The point's figures with those of new processes in place of the ratio."""
        if min(got["ns"].values()) > LOOKED:
            return got
        ratios = [ratio for ratio in (self.look(point, got["best"]) for _ in range(LOOKS)) if ratio]
        if not ratios:
            return got
        return dict(got, ratio=statistics.median(ratios), spread=spread(ratios), looks=len(ratios), within=got["ratio"])

    # ---- one series: a routine in one shape, sizes ascending ----

    def worthwhile(self, point, done):
        """The columns that may be the best there but for libcdm, however far that is ahead."""
        if not done:
            return list(self.columns)
        behind = [{name: ns / min_but_us(d["ns"]) for name, ns in d["ns"].items()} for d in done[-2:]]
        last = done[-1]
        grown = point.flops() / last["flops"]

        def may(name):
            known = [b[name] for b in behind if name in b]
            expected = last["ns"].get(name, math.inf) * grown
            return name == US or (known and (expected < EXPENSIVE or min(known) <= FAR))

        return [name for name in self.columns if may(name)]

    def series(self, some):
        done = []
        for point in some:
            names = [name for name in self.worthwhile(point, done) if self.columns[name].alive()]
            got = self.measure(point, names)
            if got and self.new and got["ratio"] < BAR:
                got = self.anew(point, got)
            if got:
                done.append(got)
        return done


def least_of(rounds):
    names = dict.fromkeys(name for r in rounds for name in r)
    return {name: min(r[name] for r in rounds if name in r) for name in names}


def min_but_us(least):
    return min(ns for name, ns in least.items() if name != US)


def ratios_to(name, rounds):
    return [r[name] / r[US] for r in rounds if name in r and US in r]


def all_ratios(rounds):
    return {name: ratios_to(name, rounds) for r in rounds[:1] for name in r if name != US}


def versus_rival(rounds, before=()):
    """The rival, and its time / libcdm's, round by round. It is the one that is ahead of the others in most rounds, those before
    included, which do nothing but help to choose."""
    every = [*before, *rounds]
    names = [name for name in least_of(rounds) if name != US]
    rival = min(names, key=lambda name: statistics.median(ratios_to(name, every) or [math.inf]))
    return rival, ratios_to(rival, rounds)


# ---- summaries ----------------------------------------------------------------------------------------------------------


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def single_settings(all_series):
    """{name: (geometric mean over all points of its time / libcdm's, points estimated)}. Where a setting was not asked any more,
    it is taken to be as far behind the best as when it was asked last: it would have been further."""
    names = {name for done in all_series for d in done for name in d["versus"]}
    out = {}
    for name in names:
        logs, estimated = [], 0
        for done in all_series:
            behind = None
            for d in done:
                if name in d["versus"]:
                    value, behind = d["versus"][name], d["versus"][name] / d["ratio"]
                elif behind is not None:
                    value, estimated = behind * d["ratio"], estimated + 1
                else:
                    break
                logs.append(math.log(value))
        if len(logs) == sum(len(done) for done in all_series):
            out[name] = (math.exp(statistics.fmean(logs)), estimated)
    return out


def unsure(d):
    return d["spread"] > UNSURE * d["ratio"]


def describe(done):
    ratios = [d["ratio"] for d in done]
    worst = min(done, key=lambda d: d["ratio"])
    low = sum(r < BAR for r in ratios)
    return (f"{done[0]['routine']:7} {done[0]['shape']:7} {len(done):3} points  mean {geometric_mean(ratios):5.2f}  "
            f"worst {worst['ratio']:5.2f} at n={worst['size']} ({worst['best']})" + (f"  {low} below {BAR}" if low else ""))


def low_points(table, all_series):
    low = [d for done in all_series for d in done if d["ratio"] < BAR]
    if low:
        table.text(f"points below {BAR}, as time of the best by hand / time of libcdm:")
    for d in low:
        table.text(f"  {d['routine']:7} {d['shape']:7} n={d['size']:<5} {d['ratio']:5.2f} +-{d['spread'] / 2:.2f}  "
                   f"libcdm {d['ns'][US]:.0f} ns, {d['best']} {d['ns'][d['best']]:.0f} ns" + (f", {d['looks']} new pairs" if "looks" in d else "") +
                   (", unsure" if unsure(d) else ""))
    return low


def summarize(table, all_series):
    low = low_points(table, all_series)
    every = [d for done in all_series for d in done]
    for routine in dict.fromkeys(d["routine"] for d in every):
        ratios = [d["ratio"] for d in every if d["routine"] == routine]
        table.figure(f"sweep {routine}: best by hand at each point / libcdm, {len(ratios)} points", geometric_mean(ratios), "x")
    table.figure(f"sweep: points of {len(every)} that are unsure, on so busy a machine", sum(map(unsure, every)), "")
    singles = single_settings(all_series)
    if singles:
        name = min(singles, key=lambda s: singles[s][0])
        table.add(f"sweep: best single setting ({name}) / libcdm", ">=", 1.0, singles[name][0], "x")
    table.add("sweep: best by hand at each point / libcdm", ">=", BAR, geometric_mean([d["ratio"] for d in every]), "x")
    table.add(f"sweep: points of {len(every)} below {BAR} of the best by hand", "<=", 0, len(low), "")
    return {name: dict(mean=mean, estimated=n) for name, (mean, n) in singles.items()}


# ---- plots ----------------------------------------------------------------------------------------------------------------


def plot_series(folder, done, library_of):
    """A line for each library, at each size in its best setting."""
    lines = {}
    for d in done:
        best = {}
        for name, ns in d["ns"].items():
            best[library_of[name]] = min(ns, best.get(library_of[name], math.inf))
        for library, ns in best.items():
            lines.setdefault(library, []).append((d["size"], d["flops"] / ns))
    routine, shape = done[0]["routine"], done[0]["shape"]
    order = sorted(lines, key=lambda name: name == US)  # drawn last, on top
    plot.lines(f"{folder}/sweep-{routine}-{shape}.svg", f"{routine}, {shape}", "n", "GFLOP/s", {n: lines[n] for n in order}, US)


def plot_ratios(folder, all_series):
    """A line for each routine: the mean over its shapes."""
    ratios = {}
    for d in (d for done in all_series for d in done):
        ratios.setdefault(d["routine"], {}).setdefault(d["size"], []).append(d["ratio"])
    lines = {routine: [(n, geometric_mean(of[n])) for n in sorted(of)] for routine, of in ratios.items()}
    title = "Time of a call, best library set by hand / libcdm, mean of the shapes"
    plot.lines(f"{folder}/sweep-ratios.svg", title, "n", "ratio", lines, level=1)


def plots(table, all_series, library_of):
    if not plot.available():
        table.text("gnuplot is missing (scripts/setup.sh bench): no plots")
        return
    for done in all_series:
        plot_series(table.out, done, library_of)
    plot_ratios(table.out, all_series)
    table.text(f"plots: {table.out}/sweep-*.svg")


# ---- all of it ------------------------------------------------------------------------------------------------------------


def start(table, program):
    """What starts each column, and its library."""
    cores = None if table.mode == "full" else libraries.NEW_CORES
    settings = libraries.by_hand(table.base, program, cores)
    commands = {US: ([program], table.libcdm())}
    commands.update((s.label, ([program, *s.args], table.env(**s.env))) for s in settings)
    return commands, {US: US, **{s.label: s.library for s in settings}}


def sweep(table):
    program = f"{table.build}/tests/bench/sweep"
    commands, library_of = start(table, program)
    columns = {name: Server(*command) for name, command in commands.items()}
    table.text(f"sweep: libcdm beside {', '.join(name for name in columns if name != US)}")
    all_series, lost = [], {}
    try:
        run = Sweep(columns, table.pick(2500, 1500, 300),
                    new=None if table.mode == "smoke" else lambda name: Server(*commands[name]))
        for some in points.plan(table.mode):
            done = run.series(some)
            if done:
                all_series.append(done)
                table.text(describe(done))
        lost = {name: server.why() for name, server in columns.items() if not server.alive()}
    finally:
        for server in columns.values():
            server.close()
    for name, why in lost.items():
        table.text(f"{name} ended in between: {why}")
    if US in lost or not all_series:
        raise RuntimeError("the sweep has no results")
    singles = summarize(table, all_series)
    plots(table, all_series, library_of)
    table.data["sweep"] = dict(bar=BAR, columns=library_of, lost=lost, singles=singles,
                               points=[d for done in all_series for d in done])


ROWS = [("sweep", sweep, "15 min, quick 3 min")]
