"""The sweep judges rightly: libraries that answer with known times, on a machine that is half as fast for a while."""
import math
import random
import statistics
import sys

import points
import sweep


class Machine:
    """Its clock goes on with every call; now and then its speed is halved, for a second or two."""

    def __init__(self, seed):
        self.random, self.clock, self.slow, self.change = random.Random(seed), 0.0, False, 1.0

    def phase(self):
        if self.clock >= self.change:
            self.slow = not self.slow
            self.change = self.clock + (self.random.uniform(0.5, 2) if self.slow else self.random.uniform(0.5, 5))

    def takes(self, ns):
        """What a call of ns takes now. Short ones are repeated for 2 ms."""
        left, begin = ns * self.random.uniform(1, 1.02) * 1e-9, self.clock
        while True:
            self.phase()
            speed = 0.5 if self.slow else 1
            if self.clock + left / speed <= self.change:
                break
            left -= (self.change - self.clock) * speed
            self.clock = self.change
        self.clock += left / speed
        took = self.clock - begin
        self.clock = max(self.clock, begin + 0.002)
        return took * 1e9


class Fake:
    """A library: start ns a call, and rate GFLOP/s."""

    def __init__(self, machine, start, rate):
        self.machine, self.start, self.rate, self.asked, self.here = machine, start, rate, 0, True

    def alive(self):
        return self.here

    def close(self):
        self.here = False

    def ask(self, request):
        routine, m, n, k, _ = request.split()
        self.asked += 1
        flops = points.Point(routine, "square", int(m), int(m), int(n), int(k)).flops()
        return self.machine.takes(self.start + flops / self.rate)


def run(seed, us, **others):
    """The square dgemm series with these columns: (start, rate) each."""
    machine = Machine(seed)
    columns = {name: Fake(machine, *what) for name, what in dict(libcdm=us, **others).items()}
    return sweep.Sweep(columns, 1500, seed).series(points.series("dgemm", "square", points.SIZES)), columns


def truth(d, us, *others):
    time = lambda c: c[0] + d["flops"] / c[1]
    return min(map(time, others)) / time(us)


def near(what, is_, should, tolerance):
    if not math.isclose(is_, should, rel_tol=tolerance):
        sys.exit(f"{what}: {is_:.4f}, not {should:.4f}")


def luck():
    """Processes of which every other one is slower by a third for as long as it lives: the same library four times, one of them
    libcdm's, comes out even, and a slower libcdm does not."""
    for rate, should in ((10, 1), (8, 0.8)):
        machine, lots, ratios, opened = Machine(3), random.Random(4), [], []

        def new(name):
            opened.append(Fake(machine, 100, (rate if name == sweep.US else 10) * lots.choice([1, 0.75])))
            return opened[-1]

        for i in range(20):
            columns = {name: new(name) for name in (sweep.US, "a", "b", "c")}
            done = sweep.Sweep(columns, 1500, i, new).series(points.series("dgemm", "square", [256]))
            ratios.append(done[0]["ratio"])
        near(f"lucky processes, {should}", statistics.median(ratios), should, 0.03)
        if sum(f.here for f in opened) != 20 * 4:
            sys.exit("processes are left")


def main():
    fast_start, fast_end, hopeless = (100, 10), (4000, 60), (50, 1)
    for us in [(100, 10), (105, 63), (4000, 60), (3000, 30)]:
        errors = []
        for seed in range(12):
            done, columns = run(seed, us, small=fast_start, big=fast_end, netlib=hopeless)
            if len(done) != len(points.SIZES):
                sys.exit(f"{len(done)} points measured")
            # A call of a second is as lucky as it is; nothing but many more rounds would help.
            errors += [d["ratio"] / truth(d, us, fast_start, fast_end, hopeless) for d in done if min(d["ns"].values()) < 0.5e9]
            if columns["netlib"].asked >= columns["big"].asked:
                sys.exit("a library that is far behind is asked as often as the best")
            single = sweep.single_settings([done])
            near("the best single setting", single["big"][0], sweep.geometric_mean([truth(d, us, fast_end) for d in done]), 0.05)
        near(f"median error, libcdm {us}", statistics.median(errors), 1, 0.01)
        if "-v" in sys.argv:
            print(us, statistics.median(errors), sorted(round(e, 2) for e in errors if not 0.96 < e < 1.04))
        wrong = sum(not 0.96 < e < 1.04 for e in errors)
        if wrong > len(errors) * 0.03:
            sys.exit(f"libcdm {us}: {wrong} of {len(errors)} points are wrong by 4 %")

    done, _ = run(1, (30, 200), small=fast_start, big=fast_end, netlib=hopeless)
    if len(done) != len(points.SIZES):
        sys.exit(f"{len(done)} points measured where libcdm is far ahead of all")

    machine = Machine(1)
    gone = Fake(machine, 1, 1000)
    columns = dict(libcdm=Fake(machine, *fast_start), gone=gone, other=Fake(machine, *fast_start))
    gone.here = False
    some = points.series("dgemm", "square", [64])
    done = sweep.Sweep(columns, 1500).series(some)
    if gone.asked or done[0]["best"] != "other":
        sys.exit("a library that ended is still asked")
    luck()
    print("selftest: ok")


main()
