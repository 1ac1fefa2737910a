"""Compares two files of `quick results`: the same calls, infos, pivots and complaints, and results that agree."""
import sys

import numpy as np

ROUTINES = "gemm gemv syrk trsm trmm getrf potrf herk cblas_gemm cblas_gemv cblas_syrk cblas_trsm cblas_herk".split()
MOST = 48
HEAD, PIVOTS = 7 * 8, 4 * MOST
TYPES = [np.float32, np.float64, np.complex64, np.complex128]
TOLERANCE = [3e-4, 1e-11, 3e-4, 1e-11]


def records(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        head = np.frombuffer(data, np.int64, 7, at)
        kind = np.dtype(TYPES[head[0]])
        pivots = np.frombuffer(data, np.int32, MOST, at + HEAD)
        yield head, pivots, np.frombuffer(data, kind, head[6], at + HEAD + PIVOTS)
        at += HEAD + PIVOTS + int(head[6]) * kind.itemsize


def main():
    calls = wrong = 0
    plain, with_ = records(sys.argv[1]), records(sys.argv[2])
    for (head, pivots, x), (head2, pivots2, y) in zip(plain, with_, strict=True):
        calls += 1
        error = np.abs(x - y).max() / max(1, np.abs(x).max()) if (head == head2).all() else np.inf
        if (pivots != pivots2).any() or not error <= TOLERANCE[head[0]]:
            wrong += 1
            if wrong < 10:
                print(f"call {calls}: {'sdcz'[head[0]]}{ROUTINES[head[1]]}: {head} {head2}, error {error}")
    print(f"{calls} calls, {wrong} differ")
    return wrong > 0 or calls == 0


sys.exit(main())
