#!/bin/bash
# Reports one scenario's outcome out of what boot-all.sh left.
#
#   check.sh OUT_DIR NAME
#
# Succeeds if it passed. A skip fails too: on the kernels that boot-all.sh boots nothing is missing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$1 name=$2 result=$1/$2.result
if [ ! -e "$result" ]; then
    echo "no result of $name"
    "$here/unfinished.sh" "$out"
    tail -n 30 "$out/console.log" 2>/dev/null || true
    exit 1
fi
case $(head -1 "$result") in
    pass) sed -n 2p "$result" ;;
    *)
        cat "$result"
        [ ! -d "$out/$name" ] || echo "captures and logs: $out/$name"
        exit 1
        ;;
esac
