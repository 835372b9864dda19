#!/bin/bash
# Names the scenarios that were started and have no result: where a crashed or hung guest was.
#
#   unfinished.sh OUT_DIR
[ -s "$1/progress" ] || exit 0
while read -r name; do
    [ -e "$1/$name.result" ] || echo "started and not finished: $name"
done < "$1/progress"
echo "started last: $(tail -n 1 "$1/progress")"
