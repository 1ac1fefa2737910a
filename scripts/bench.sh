#!/bin/sh
# make bench, after scripts/setup.sh and the build: the table of budgets, and build/bench.json. Names of rows as
# arguments run these alone: never startup small large declined resident compute inside.
cd "$(dirname "$0")/.." || exit 1
echo 'The emulated device picks its library first (up to 2 s, once per machine); then the rows, a few minutes.'
exec /usr/bin/python3 tests/bench/bench.py "$@"
