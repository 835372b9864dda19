#!/bin/bash
# Runs all scenarios on this machine's own kernel, in nft-map mode: the setup of CTest's fixture "native".
#
#   run-all.sh BUILD_DIR OUT_DIR [NAME…]
#
# Succeeds if the runner finished in order; how each scenario went is in OUT_DIR and for check.sh to report. Everything
# happens in network namespaces that the scenarios make and remove: the machine's own network is not touched. As root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "$1") out=$2
shift 2
[ "$(id -u)" = 0 ] || { echo "run-all.sh: network namespaces need root" >&2; exit 1; }
# A result of an earlier run must not be taken for one of this run.
rm -rf "$out"
mkdir -p "$out"
started=$SECONDS status=0
SIPNAT_BIN_DIR=$build/bin SIPNAT_ARM=sipnat SIPNAT_MODE=maps PYTHONPYCACHEPREFIX=$out/.pycache \
    /usr/bin/python3 "$here/../vm/run_scenarios.py" --out "$out" "$@" || status=$?
echo "kernel $(uname -r), $((SECONDS - started)) s in all"
# 10: some scenarios failed, which is theirs to report.
[ "$status" -eq 0 ] || [ "$status" -eq 10 ]
