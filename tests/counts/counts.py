"""Instructions per operation of the hot paths, from callgrind's dumps, against tests/counts/expected.

usage: counts.py [--update] LIB PROGRAMS LABEL

LIB is the library under test, PROGRAMS the folder of counts, counts_static and inside, LABEL the compiler and its version that
LIB was built with. Two numbers for each path:
  own   instructions inside libcdm (or, for `inside`, the engine in the program) and in code made at run time ("???"; on
        the device that is its instance of the compute library, which is not counted)
  out   calls that leave it: the original function, libc, the kernel's clock
Both are differences of two runs of different lengths, so start-up and warm-up cancel, and neither depends on libc's version.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = f"{HERE}/expected"
ARCH = f"/usr/lib/{os.uname().machine}-linux-gnu"
NETLIB = f"{ARCH}/blas:{ARCH}/lapack"
# Group: the program, and what is in its environment.
GROUPS = {
    "host": ("counts", dict(CDM_MIN_WORK="1e12", CDM_MECHANISM="remap")),
    "tiny": ("counts", dict(CDM_MECHANISM="remap")),
    "patch": ("counts_static", dict(CDM_MIN_WORK="1e12", CDM_MECHANISM="remap")),
    "device": ("counts", dict(CDM_MIN_WORK="0", CDM_MECHANISM="remap", CDM_THREADS="1", CDM_CONTROL="off",
                              CDM_BLAS=f"{ARCH}/blas/libblas.so.3")),
    "inside": ("inside", {}),
}
FEW, SHARE = 4, 0.03  # instructions above the expected, or this share of it, are let pass
UNKNOWN = 0.25        # for a compiler of which nothing is known: this share, or
UNKNOWN_FEW = 12      # so many instructions, and half as many calls out again
ALIKE = 0.03          # between lines that differ in the number of regions alone


def dump_counts(path, is_own):
    """Own instructions and calls out of one dump, and all instructions."""
    names, ob, cob, own, out, total, inclusive = {}, "", None, 0, 0, 0, False
    for line in open(path):
        if line[0] in "+-*0123456789":
            if not inclusive:
                cost = int(line.split()[-1])
                total += cost
                own += cost if is_own(ob) else 0
            inclusive = False
        elif line.startswith(("ob=", "cob=")):
            key, _, value = line.rstrip("\n").partition("=")
            number, _, name = value.partition(" ")
            if name:
                names[number] = name
            if key == "ob":
                ob = names[number]
            else:
                cob = names[number]
        elif line.startswith("calls="):
            if cob is not None and is_own(ob) and not is_own(cob):
                out += int(line[6:].split()[0])
            cob, inclusive = None, True
    return own, out, total


class Failure(Exception):
    pass


def without_debug(path, folder):
    """A copy: objects are told apart, not functions, and valgrind gives up on DWARF that is newer than itself."""
    copy = f"{folder}/{os.path.basename(path)}"
    subprocess.run(["objcopy", "--strip-debug", path, copy], check=True)
    return copy


def run_group(group, lib, program, folder):
    """Runs a group under callgrind; the lines that it prints."""
    more = GROUPS[group][1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CDM_", "LD_", "OPENBLAS"))}
    env.update(more, HOME=folder, XDG_CACHE_HOME=folder, LD_LIBRARY_PATH=NETLIB)
    if group != "inside":
        env["LD_PRELOAD"] = lib
    command = ["valgrind", "--tool=callgrind", "--dump-before=counts_mark", "--dump-line=no",
               f"--callgrind-out-file={folder}/dump.{group}", program, group]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()


def measure_group(group, lib, programs, folder):
    """{path: (own, out, total)} per operation. Four dumps for each path: before, N operations, between, 2 N."""
    lib, program = without_debug(lib, folder), without_debug(f"{programs}/{GROUPS[group][0]}", folder)
    mine = {"inside": [program], "device": [lib]}.get(group, [lib, "???"])
    is_own = lambda ob: ob in mine
    found = {}
    for i, line in enumerate(run_group(group, lib, program, folder)):
        n, _, name = line.partition(" ")
        once = dump_counts(f"{folder}/dump.{group}.{4 * i + 2}", is_own)
        twice = dump_counts(f"{folder}/dump.{group}.{4 * i + 4}", is_own)
        found[name] = tuple((b - a) / int(n) for a, b in zip(once, twice))
    nothing = found.pop("nothing", (0, 0, 0))  # the loop around it
    return {name: tuple(a - b for a, b in zip(value, nothing)) for name, value in found.items()}


def measure(lib, programs):
    found = {}
    for group in GROUPS:
        program = f"{programs}/{GROUPS[group][0]}"
        if not os.path.exists(program):
            print(f"{program} is not built: its paths are left out")
            continue
        with tempfile.TemporaryDirectory() as folder:
            found.update(measure_group(group, lib, programs, folder))
    return found


def read_expected():
    """{label: {path: (own, out)}}, in the file's order."""
    table = collections.OrderedDict()
    for line in open(EXPECTED) if os.path.exists(EXPECTED) else []:
        if line.strip() and line[0] not in "#<=>":  # nor a merge's marks
            label, own, out, name = line.split(None, 3)
            table.setdefault(label, {})[name.strip()] = (float(own), float(out))
    return table


def write_expected(table):
    head = "".join(line for line in open(EXPECTED) if line.startswith("#"))
    with open(EXPECTED, "w") as f:
        f.write(head)
        for label in sorted(table):
            for name, (own, out) in table[label].items():
                f.write(f"{label:<10} {own:8.2f} {out:5.2f}  {name}\n")


def bound_of(table, label, name):
    """(own, out) that a path may have, as recorded, and the share it may be above. None: it is new."""
    if label in table:
        return table[label].get(name), SHARE
    known = [rows[name] for rows in table.values() if name in rows]
    return tuple(map(max, zip(*known))) if known else None, UNKNOWN


def judge(name, own, out, bound, share):
    """A complaint or None; what is clearly cheaper is only mentioned."""
    if bound is None:
        return f"{name}: {own:.2f} instructions, {out:.2f} calls out; not in the expected counts"
    known = share == SHARE
    slack = max(FEW if known else UNKNOWN_FEW, share * bound[0])
    if own > bound[0] + slack:
        return f"{name}: {own:.2f} instructions, {own - bound[0]:+.2f} on the {bound[0]:.2f} expected"
    if out > bound[1] + (0.05 if known else bound[1] / 2):
        return f"{name}: {out:.2f} calls out of libcdm, {bound[1]:.2f} expected"
    if known and own < bound[0] - slack:
        print(f"cheaper: {name}: {own:.2f} instructions, {own - bound[0]:+.2f} on the {bound[0]:.2f} expected")
    return None


def unlike(found):
    """Complaints of lines that differ in the number of regions alone, and whose counts differ."""
    groups = collections.defaultdict(list)
    for name, value in found.items():
        if re.search(r" among \d+$", name):
            groups[name.rsplit(" ", 1)[0]].append(value[0])
    for name, counts in groups.items():
        if max(counts) > min(counts) * (1 + ALIKE):
            yield f"{name} ever more: {', '.join(f'{c:.0f}' for c in counts)} instructions: it grows"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("lib")
    parser.add_argument("programs")
    parser.add_argument("label")
    args = parser.parse_args()
    try:
        found = measure(args.lib, args.programs)
    except Failure as e:
        sys.exit(str(e))
    table = read_expected()
    print(f"{args.label:40} {'own':>9} {'out':>6} {'with libc':>10}")
    for name, (own, out, total) in found.items():
        print(f"{name:40} {own:9.2f} {out:6.2f} {total:10.2f}")
    complaints = list(unlike(found))
    if args.update:
        table[args.label] = {name: value[:2] for name, value in found.items()}
        write_expected(table)
    else:
        if args.label not in table:
            print(f"no counts of {args.label} are known: up to {UNKNOWN:.0%} more than the others' is let pass")
        for name, (own, out, _) in found.items():
            complaints.append(judge(name, own, out, *bound_of(table, args.label, name)))
        for name in set(table.get(args.label, {})) - set(found):
            print(f"not measured: {name}")
    complaints = [c for c in complaints if c]
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    if complaints and not args.update:
        print("If that is right: tests/counts/run.sh --update, and commit tests/counts/expected.")
    sys.exit(1 if complaints else 0)


main()
