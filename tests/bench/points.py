"""Which routines the sweeps measure, in which shapes, at which sizes.

A shape turns a size n into (m, n, k); s is the short side, a 16th of the long one and at least 4. What m, n and k mean
stands in sweep.c.
"""
from typing import NamedTuple

SIZES = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3000, 4000]
QUICK_SIZES = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
SMOKE_SIZES = [8, 48]


def short(n):
    return max(4, n // 16)


SQUARE = {"square": lambda n: (n, n, n)}
TWO_SIDES = {**SQUARE, "tall": lambda n: (n, short(n), 1), "wide": lambda n: (short(n), n, 1)}
GEMM = {
    **SQUARE,
    "tall": lambda n: (n, short(n), short(n)),
    "wide": lambda n: (short(n), n, short(n)),
    "inner": lambda n: (short(n), short(n), n),
}
SYRK = {**SQUARE, "tall": lambda n: (1, n, short(n)), "wide": lambda n: (1, short(n), n)}
ROUTINES = {
    "dgemm": GEMM, "sgemm": GEMM, "zgemm": GEMM, "dtrsm": TWO_SIDES, "dsyrk": SYRK, "dgetrf": TWO_SIDES, "dpotrf": SQUARE,
    "dgemv": TWO_SIDES,
}


class Point(NamedTuple):
    routine: str
    shape: str
    size: int
    m: int
    n: int
    k: int

    def flops(self):
        m, n, k, r = self.m, self.n, self.k, min(self.m, self.n)
        kind = self.routine[1:]
        real = dict(gemm=2 * m * n * k, trsm=m * m * n, syrk=n * (n + 1) * k, gemv=2 * m * n, potrf=n**3 / 3,
                    getrf=2 * m * n * r - (m + n) * r**2 + 2 * r**3 / 3)[kind]
        return max(real, 1) * (4 if self.routine[0] in "cz" else 1)

    def request(self, us):
        return f"{self.routine} {self.m} {self.n} {self.k} {us}"


def series(routine, shape, sizes):
    """Its points by size. Where the short side is the whole, the shape is a square and not measured twice."""
    return [Point(routine, shape, n, *ROUTINES[routine][shape](n)) for n in sizes if shape == "square" or short(n) < n]


def plan(mode):
    """All series of a run."""
    if mode == "smoke":
        return [series("dgemm", "square", SMOKE_SIZES), series("dpotrf", "square", SMOKE_SIZES[1:])]
    out = []
    for routine, shapes in ROUTINES.items():
        for shape in shapes:
            sizes = SIZES if mode == "full" else QUICK_SIZES if shape == "square" else QUICK_SIZES[1::2]
            out.append(series(routine, shape, sizes))
    return out
