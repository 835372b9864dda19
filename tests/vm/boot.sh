#!/bin/bash
# Boots a stock Debian kernel in QEMU on top of this machine's own files and runs one command in it.
#
#   boot.sh [option…] COMMAND [ARGUMENT…]
#     --kernel 6.1|6.12   which kernel (default $SIPNAT_KERNEL, else 6.1)
#     --out DIR           where results go; the guest sees it as /run/vm, writable (default: a temporary folder)
#     --timeout SECONDS   how long the guest may take in all (default 900)
#     --env NAME=VALUE    set in the command's environment; may be repeated
#     --systemd           boot systemd and run the command as a oneshot unit
#     --units DIR         with --systemd: put the files of DIR into /run/systemd/system first
#     --memory SIZE       the guest's memory (default 2G)
#
#     host's / ──9p, read-only──► overlay with a tmpfs ──► the guest's /      nothing that the guest does stays
#     DIR      ──9p, writable───────────────────────────► the guest's /run/vm
#
# Exits with the command's status. 124: out of time; 125: the guest crashed, hung, or ended without an outcome; it then
# says where. The command's output is in DIR/output.log (also printed), the guest's console in DIR/console.log.
# Software emulation only: Debian's guests hang on some nested /dev/kvm, and CI machines have none.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
kernel=${SIPNAT_KERNEL:-6.1} out='' timeout=900 mode=plain units='' memory=2G environment=()
while [ $# -gt 0 ]; do
    case $1 in
        --kernel) kernel=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --timeout) timeout=$2; shift 2 ;;
        --env) environment+=("$2"); shift 2 ;;
        --systemd) mode=systemd; shift ;;
        --units) units=$(realpath "$2"); shift 2 ;;
        --memory) memory=$2; shift 2 ;;
        --) shift; break ;;
        -*) echo "boot.sh: unknown option $1" >&2; exit 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { echo "boot.sh: no command" >&2; exit 2; }
case $here in
    /run/* | /dev/* | /proc/* | /sys/*) echo "boot.sh: the guest has its own ${here:0:5}; move the source tree" >&2; exit 2 ;;
esac
command -v qemu-system-x86_64 >/dev/null || { echo "boot.sh: qemu-system-x86_64 is missing (Debian: qemu-system-x86)" >&2; exit 2; }

qemu=''
temporary=''
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    if [ -n "$qemu" ]; then
        kill -KILL "$qemu" 2>/dev/null || true
        wait "$qemu" 2>/dev/null || true
    fi
    [ -z "$temporary" ] || rm -rf "$temporary"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

folder=$("$here/kernel.sh" "$kernel")
[ -n "$out" ] || { temporary=$(mktemp -d); out=$temporary; }
mkdir -p "$out"
out=$(realpath "$out")
case $out in *,*) echo "boot.sh: QEMU takes no comma in $out" >&2; exit 2 ;; esac
boot=$out/.boot
rm -rf "$boot" "$out/output.log" "$out/console.log" "$out/progress" "$out/seconds"
mkdir "$boot"
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
{
    printf '%s=%q\n' TOKEN "$token" MODE "$mode" UNITS "$units" KERNEL_FOLDER "$folder"
    for assignment in ${environment[@]+"${environment[@]}"}; do printf 'export %q\n' "$assignment"; done
    printf 'COMMAND=('; printf '%q ' "$@"; printf ')\n'
} > "$boot/env"
cp "$here/guest-init.sh" "$boot/guest-init.sh"
: > "$out/output.log"

started=$SECONDS
# Even a SIGKILL of this script ends the machine.
setpriv --pdeathsig KILL -- qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m "$memory" -cpu max -display none -monitor none -no-reboot -nodefaults \
    -kernel "$folder/vmlinuz" -initrd "$folder/initramfs.gz" -serial "file:$out/console.log" \
    -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off tsc=reliable random.trust_cpu=on fstab=no systemd.journald.forward_to_console=0" \
    -virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$out,mount_tag=out,security_model=none,multidevs=remap" \
    </dev/null >"$boot/qemu.log" 2>&1 &
qemu=$!

failed() {
    local status=$1
    shift
    {
        echo "boot.sh: $* (after $((SECONDS - started)) s, kernel $(cat "$folder/release"))"
        "$here/unfinished.sh" "$out"
        [ ! -s "$boot/qemu.log" ] || { echo "QEMU says:"; cat "$boot/qemu.log"; }
        echo "last lines of the console:"
        tail -n 30 "$out/console.log" 2>/dev/null | tr -d '\r' | sed 's/^/    /'
        echo "last lines of the output:"
        tail -n 10 "$out/output.log" | sed 's/^/    /'
    } >&2
    exit "$status"
}

heard=$SECONDS heartbeat='' printed=0
forward_output() {
    local size
    size=$(stat -c %s "$out/output.log")
    if [ "$size" -gt "$printed" ]; then
        tail -c +$((printed + 1)) "$out/output.log" | head -c $((size - printed))
        printed=$size
    fi
}
while kill -0 "$qemu" 2>/dev/null; do
    sleep 0.5
    forward_output
    [ ! -e "$boot/outcome" ] || break
    beat=$(cat "$boot/heartbeat" 2>/dev/null || true)
    [ "$beat" = "$heartbeat" ] || heard=$SECONDS heartbeat=$beat
    [ $((SECONDS - started)) -le "$timeout" ] || failed 124 "the guest was not done within $timeout s"
    [ $((SECONDS - heard)) -le 120 ] || failed 125 "no sign of life from the guest for 120 s"
done
for _ in $(seq 40); do
    kill -0 "$qemu" 2>/dev/null || break
    sleep 0.25
done
forward_output
[ -e "$boot/outcome" ] || failed 125 "the guest ended without an outcome: crashed?"
read -r said status < "$boot/outcome"
[ "$said" = "$token" ] || failed 125 "the outcome is not this guest's"
echo "$((SECONDS - started))" > "$out/seconds"
exit "$status"
