#!/bin/sh
# make demo, after scripts/setup.sh and the build: see demo.py.
cd "$(dirname "$0")/.." || exit 1
exec /usr/bin/python3 scripts/demo.py "$@"
