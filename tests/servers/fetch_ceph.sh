#!/bin/sh
# Debian's packages of Ceph and what they need, unpacked into a folder and installed nowhere:
#     tests/servers/fetch_ceph.sh FOLDER
# Then `make servers EPM_TEST_CEPH=FOLDER` tries its object store, too.
set -eu
mkdir -p "$1/archives/partial"
cd "$1"
apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$PWD/archives" \
    radosgw ceph-mon ceph-osd ceph-common
for package in archives/*.deb; do
    dpkg -x "$package" .
    rm "$package"
done
