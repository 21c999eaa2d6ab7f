#!/usr/bin/env bash
# debian.sh VERSION SUITE FOLDER: the service's unit tests with the Python of a Debian release, which lives below FOLDER.
# As root on Debian: mmdebstrap makes the release's file system from the mirror that the machine itself uses. It exits
# with 75 if the mirror does not have all packages.
set -euo pipefail
. "$(dirname "$0")/../support/namespaces.sh"
version=$1 suite=$2 root=$(realpath "$(dirname "$0")/../.."); mkdir -p "$3"; folder=$(realpath "$3")
wanted=$(cat "$root"/requirements*.lock "$0" | sha256sum | cut -c -16); box=$folder/$version-$wanted
test -d "$box" || {
    command -v mmdebstrap >/dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends mmdebstrap >/dev/null
    }
    rm -rf "$folder/$version"-*
    eval "$(apt-config shell valid_until Acquire::Check-Valid-Until)"  # false for a mirror that stands still
    mmdebstrap --quiet --variant=minbase --include="python$version-venv,ca-certificates" \
        --aptopt="Acquire::Check-Valid-Until \"${valid_until:-true}\"" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="touch '$box.fetched'" \
        --customize-hook="cp -L /etc/ssl/certs/ca-certificates.crt \"\$1/etc/ssl/certs/\"; cp '$root'/requirements*.lock \"\$1/tmp/\"" \
        --customize-hook="chroot \"\$1\" sh -ec 'python$version -m venv /venv; for lock in /tmp/requirements*.lock; do /venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --require-hashes -r \$lock; done'" \
        "$suite" "$box.part" "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)" \
        || { test -e "$box.fetched" || exit 75; exit 1; }
    rm "$box.fetched"; mv "$box.part" "$box"
}
# The namespaces take every process and mount with them.
in_namespaces --mount bash -euo pipefail -c '
    mount --make-rprivate /
    mkdir -p "$0/project"
    mount --bind "$1" "$0/project"
    mount --rbind /dev "$0/dev"
    mount -t proc proc "$0/proc"
    exec chroot "$0" env -i HOME=/root PATH=/venv/bin:/usr/bin:/bin sh -ec "
        cd /project
        pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
        exec pytest -q -p no:cacheprovider --numprocesses=2 tests/unit"
' "$box" "$root"
