"""judge.py agree FILE FILE TOLERANCE: the checksum= lines of two outputs are the same, relatively.
judge.py report FILE EXPRESSION: an expression in r, a JSON report, is true; otherwise the report is printed.
"""
import json
import re
import sys


def checksum(path):
    with open(path) as file:
        return float(re.search(r"checksum= *(\S+)", file.read()).group(1))


def agree(one, other, tolerance):
    a, b = checksum(one), checksum(other)
    return abs(a - b) <= float(tolerance) * abs(a)


def report(path, expression):
    with open(path) as file:
        r = json.load(file)
    true = eval(f"({expression})", dict(r=r))
    if not true:
        print({k: v for k, v in r.items() if k not in ("routines", "regions")})
    return true


sys.exit(not dict(agree=agree, report=report)[sys.argv[1]](*sys.argv[2:]))
