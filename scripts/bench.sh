#!/bin/sh
# make bench, after scripts/setup.sh and the build: see tests/bench/bench.py. Names of rows as arguments run these alone.
cd "$(dirname "$0")/.." || exit 1
exec /usr/bin/python3 tests/bench/bench.py "$@"
