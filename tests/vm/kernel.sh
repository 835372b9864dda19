#!/bin/bash
# Unpacks one of Debian's stock kernels, ready to boot in QEMU, and prints the folder that holds it.
#
#   kernel.sh 6.1|6.12
#
# The folder holds: vmlinuz, initramfs.gz, lib/modules/VERSION, release (the VERSION).
# It lies in a cache outside the source tree ($SIPNAT_CACHE, else $XDG_CACHE_HOME/sipnat, else ~/.cache/sipnat) and is
# keyed by the package's full version and by this script's own text, so a new kernel or another initramfs is a new folder.
set -euo pipefail

die() { echo "kernel.sh: $*" >&2; exit 1; }

case ${1:-} in
    6.1) metapackage=linux-image-amd64 ;;
    6.12) metapackage=linux-image-6.12-amd64 ;;
    *) echo "usage: kernel.sh 6.1|6.12" >&2; exit 2 ;;
esac
for tool in busybox cpio depmod dpkg-deb apt-get apt-cache; do
    command -v "$tool" >/dev/null || die "$tool is missing (Debian: busybox-static cpio kmod)"
done
busybox=$(command -v busybox)
ldd "$busybox" >/dev/null 2>&1 && die "$busybox is not a static program: install busybox-static"

home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${SIPNAT_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/sipnat}
package=$(apt-cache depends "$metapackage" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
[ -n "$package" ] || die "apt knows no $metapackage: run apt-get update"
version=$(apt-cache show --no-all-versions "$package" | awk '$1 == "Version:" {print $2; exit}')
recipe=$(sha256sum "$0" | cut -c1-8)
folder=$cache/${package}_${version//:/%}_$recipe
if [ -d "$folder" ]; then
    echo "$folder"
    exit
fi

mkdir -p "$cache"
# What a killed run left behind.
find "$cache" -maxdepth 1 -name '.unpacking.*' -mmin +60 -exec rm -rf {} +
work=$(mktemp -d "$cache/.unpacking.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/deb" "$work/kernel"
(cd "$work/deb" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version") >&2 || die "cannot download $package $version"
dpkg-deb -x "$work"/deb/*.deb "$work/deb/root"
modules=$(echo "$work"/deb/root/lib/modules/* "$work"/deb/root/usr/lib/modules/* | tr ' ' '\n' | grep -v '\*$')
release=$(basename "$modules")
mkdir -p "$work/kernel/lib/modules"
mv "$modules" "$work/kernel/lib/modules/"
mv "$work/deb/root/boot/vmlinuz-$release" "$work/kernel/vmlinuz"
echo "$release" > "$work/kernel/release"
# Three quarters of the modules drive hardware that QEMU does not have.
(
    cd "$work/kernel/lib/modules/$release/kernel"
    rm -rf sound drivers/net/ethernet drivers/net/wireless
    find drivers -mindepth 1 -maxdepth 1 ! -name virtio ! -name net ! -name char -exec rm -rf {} +
)
depmod -b "$work/kernel" "$release"

# The initramfs only gets the host's root mounted; the rest is guest-init.sh's, which comes over the writable share.
mkdir -p "$work"/initramfs/{bin,modules,proc,sys,dev,low,up,new}
cp "$busybox" "$work/initramfs/bin/busybox"
number=100
for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe -d "$work/kernel" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
    number=$((number + 1))
    cp "$file" "$work/initramfs/modules/$number-$(basename "$file")"
done
for file in "$work"/initramfs/modules/*.xz; do
    if [ -e "$file" ]; then xz -d "$file"; fi
done
cat > "$work/initramfs/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
share() { $b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$1 $2 $3; }
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $b insmod $module; done
share ro,cache=loose root /low
$b mount -t tmpfs tmp /up
$b mkdir /up/files /up/work
$b mount -t overlay -o lowerdir=/low,upperdir=/up/files,workdir=/up/work root /new
$b mount -t tmpfs run /new/run
$b mkdir /new/run/vm
share rw out /new/run/vm
exec $b switch_root /new /bin/bash /run/vm/.boot/guest-init.sh
INIT
chmod +x "$work/initramfs/init"
(cd "$work/initramfs" && find . | cpio --quiet -o -H newc | gzip -1) > "$work/kernel/initramfs.gz"

# Whoever is first wins; the other's copy is the same.
mv -T "$work/kernel" "$folder" 2>/dev/null || [ -d "$folder" ] || die "cannot write $folder"
echo "$folder"
