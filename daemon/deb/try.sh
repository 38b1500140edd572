#!/bin/sh
# Takes a .deb through its life in a bare Debian 12: installed without a network, upgraded with a store
# in place, refused and allowed to go, purged, and installed again.
#
#     sudo daemon/deb/try.sh dist/epmstore_VERSION_amd64.deb [FOLDER]
#
# FOLDER keeps the bare system for the next time. Needs root, debootstrap, and a mirror for that alone.
set -eu

deb=$(realpath "$1")
work=$(mktemp -d)
base=${2:-$work/base}
host=$work/host
trap 'umount "$host/proc" 2>/dev/null || true; rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
inside() { unshare --net chroot "$host" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
refused() { if inside "$@"; then fail "$* was not refused"; fi; }
# Everything outside the places of data and of dpkg itself.
listing() { (cd "$host" && find . -xdev \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./tmp \) -prune -o -print | sort); }

if [ ! -d "$base" ]; then
    say "a bare Debian 12"
    debootstrap --variant=minbase \
        --include=python3.11,systemd-standalone-sysusers,systemd-standalone-tmpfiles \
        bookworm "$base" "${MIRROR:-http://deb.debian.org/debian}" >"$work/log" || { tail "$work/log"; exit 1; }
fi
cp -a "$base" "$host"
mount -t proc proc "$host/proc"
listing >"$work/before"

say "an older version of the same"
dpkg-deb -R "$deb" "$work/older"
sed -i 's/^Version: .*/Version: 0.0.1/' "$work/older/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/older" "$host/tmp/older.deb" >/dev/null
rm -rf "$work/older"
cp "$deb" "$host/tmp/newer.deb"

say "installs"
inside dpkg -i /tmp/older.deb
inside epmstore --version
inside epmstored --help >/dev/null
inside epmstore-rescue --help >/dev/null
inside getent group epmstore
[ ! -e "$host/var/lib/epmstore/FORMAT" ] || fail "a store was made for a host that does not run"
[ "$(stat -c %a "$host/var/lib/epmstore")" = 700 ] || fail "others may look into the store"
[ -L "$host/etc/systemd/system/multi-user.target.wants/epmstore-recover.service" ] || fail "not recovered at boot"
[ ! -e "$host/etc/systemd/system/multi-user.target.wants/epmstored.service" ] || fail "the daemon is enabled"

say "works"
mkdir -p "$host/opt/crm/bin"
echo one >"$host/opt/crm/bin/crmd"
inside epmstore init
inside epmstore app add crm /opt/crm
inside epmstore snapshot -m 'as delivered'
echo two >"$host/opt/crm/bin/crmd"
inside epmstore config show >/dev/null
inside su -s /bin/sh nobody -c 'epmstore --version && epmstore --help' >/dev/null
cp "$host/var/lib/epmstore/FORMAT" "$work/FORMAT"

say "is upgraded"
echo '#settle = "3s"' >>"$host/etc/epmstore/config.toml"
inside dpkg -i /tmp/newer.deb
inside dpkg --verify epmstore
cmp "$work/FORMAT" "$host/var/lib/epmstore/FORMAT"
tail -n 1 "$host/etc/epmstore/config.toml" | grep -q 3s || fail "the administrator's settings are gone"
inside epmstore snapshot -m 'with the newer one'
inside epmstore checkout 0
[ "$(cat "$host/opt/crm/bin/crmd")" = one ] || fail "not brought back"

say "does not leave what needs it"
inside epmstore app set crm --unit crm.service
refused dpkg -r epmstore
inside epmstore --version
inside epmstore app set crm --unit ''

say "is removed"
inside dpkg -r epmstore
[ ! -e "$host/opt/epmstore" ] || fail "/opt/epmstore is still there"
[ -e "$host/var/lib/epmstore/FORMAT" ] || fail "the store is gone"

say "is purged"
inside dpkg -P epmstore 2>&1 | tee "$work/said"
grep -q 'the store /var/lib/epmstore' "$work/said" || fail "nothing is said of the store"
[ -e "$host/var/lib/epmstore/FORMAT" ] || fail "the store is gone"
listing | diff "$work/before" - | grep -v -e var/lib/epmstore -e etc/epmstore -e '/opt/crm' -e '^[0-9]' || true

say "comes back to its store"
inside dpkg -i /tmp/newer.deb
inside epmstore log
inside epmstore doctor
say "all as it should be"
