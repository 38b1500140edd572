#!/usr/bin/env bash
# The main job on a real tree: the Python standard library as an installed application.
#
# Every line after a `$ ` is a command that really ran. Nothing outside a scratch folder is touched.
# `KEEP=1 make demo` keeps that folder. Fails if a tree is not what it has to be.
set -eu

command -v epmstore >/dev/null || { echo "epmstore is not on the PATH: run 'make demo'" >&2; exit 1; }
scratch=$(mktemp -d "${TMPDIR:-/tmp}/epmstore-demo.XXXXXX")
trap '[ "${KEEP:-}" ] && echo "kept: $scratch" || rm -rf "$scratch"' EXIT
cd "$scratch"
export EPMSTORE_STORE=$scratch/store

bold='' plain=''
[ ! -t 1 ] || [ "${NO_COLOR:-}" ] || { bold=$'\e[1m' plain=$'\e[0m'; }

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# Shows a command and runs it; it has to end with the given exit code (0 if none is given).
run() {
    local wanted=0 code=0
    case $1 in [0-9]*) wanted=$1; shift ;; esac
    printf '\n%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1" || code=$?
    [ "$code" = "$wanted" ] || { echo "exit code $code, expected $wanted" >&2; exit 1; }
}

# One line for each fact that has to come back: contents, and then modes, link counts, owners, sizes,
# times to the nanosecond and targets of links. Directories have no size or time worth keeping.
facts() (
    export LC_ALL=C
    cd "$1"
    {
        find . -type f -exec sha1sum {} +
        find . ! -type d -exec stat -c '%A %h %u:%g %s %y %N' {} +
        find . -mindepth 1 -type d -exec stat -c '%A %u:%g %n' {} +
    } | sort
)

# Compares the application with a copy that cp made, without any help from epmstore.
prove_equal() {
    facts "kept/$1" >wanted.txt
    facts app >found.txt
    if ! cmp -s wanted.txt found.txt; then
        echo "NOT IDENTICAL to the copy '$1':" >&2
        diff wanted.txt found.txt | head -20 >&2
        exit 1
    fi
    printf '\nProof: app/ is the copy made %s: %s files, %s facts compared.\n' \
        "$2" "$(find app -type f | wc -l)" "$(wc -l <found.txt)"
}

say "An application is installed: $(python -V)'s own standard library, with a link"
mkdir app kept
library=$(python -c 'import sysconfig; print(sysconfig.get_paths()["stdlib"])')
for item in "$library"/*; do
    case ${item##*/} in site-packages | dist-packages) ;; *) cp -a "$item" app/ ;; esac
done
ln -s json app/current
cp -a app kept/delivered
printf '%s files, %s\n' "$(find app -type f | wc -l)" "$(du -sh app | cut -f1)"

say "Record it"
run "epmstore init"
run "epmstore app add python app"
run "epmstore snapshot -m 'as delivered'"
run "du -sh app store"

say "An upgrade: it changes some hundred files, adds some, removes some, turns the link"
cat >upgrade.sh <<'UPGRADE'
cd app
find asyncio ctypes email encodings importlib json logging multiprocessing unittest -name '*.py' \
    -exec sh -c 'for file; do echo "# release 2" >>"$file"; done' upgrade {} +
mkdir -p release2/notes
for n in 1 2 3 4 5; do echo "note $n" >release2/notes/$n.txt; done
rm -r wsgiref
mv xmlrpc rpc
chmod 755 this.py
ln -sfn email current
UPGRADE
run "cat upgrade.sh"
run "epmstore run -m 'upgrade to release 2' -- sh upgrade.sh"
cp -a app kept/upgraded
run "epmstore diff 0..1 | tail -n 8"

say "Then somebody repairs something by hand"
run "echo 'import sys; sys.exit(1)' >>app/os.py"
run "rm app/json/decoder.py"
run "chmod 600 app/socket.py"

say "What has changed since the last record? (exit code 1 says: something has)"
run 1 "epmstore status"
run "epmstore diff latest..now"

say "Away with the damage: back to the state of the last change"
run "epmstore rollback"
prove_equal upgraded "after the upgrade"
run "epmstore status"

say "The upgrade was no good either: once more takes it back as a whole"
run "epmstore rollback"
prove_equal delivered "before the upgrade"

say "It was not the upgrade after all"
run "epmstore undo"
prove_equal upgraded "after the upgrade"

say "Nothing of this is lost to history"
run "epmstore log --all"
run "du -sh app store"

say "Done. The same commands work on /opt/yours; every one of them has --help."
