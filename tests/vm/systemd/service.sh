#!/bin/bash
# Runs inside a guest that was booted with boot.sh --systemd: installs what was built as a package would, and sees the
# unit start, serve a call, survive kill -9, and name a blacklisted module (service.py).
set -eu

build=$(dirname "$SIPNAT_BIN_DIR")
cmake --install "$build" >/dev/null
systemctl daemon-reload
exec /usr/bin/python3 "$(dirname "$0")/service.py"
