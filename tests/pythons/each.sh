#!/usr/bin/env bash
# each.sh PYTHON FOLDER: the service's unit tests with each supported Python but the one of PYTHON, in places below FOLDER.
set -euo pipefail
here=$(dirname "$0") folder=$2 untested=()
own=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for release in 3.11=bookworm 3.13=trixie 3.14=forky; do
    version=${release%=*} suite=${release#*=} status=0
    if test "$version" = "$own"; then
        continue
    elif "python$version" -c '' 2>/dev/null; then
        place=$folder/python$version
        test "$place/ready" -nt requirements.lock && test "$place/ready" -nt requirements-dev.lock || {
            "python$version" -m venv "$place"
            for lock in requirements.lock requirements-dev.lock; do
                "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
            done
            "$place/bin/pip" install --quiet --no-deps --no-build-isolation --editable .
            touch "$place/ready"
        }
        "$place/bin/pytest" -q -p no:cacheprovider --numprocesses=2 tests/unit
    elif test "$(id -u)" = 0 && command -v apt-get >/dev/null; then
        "$here/debian.sh" "$version" "$suite" "$folder/pythons" || status=$?
        # A suite that is not released may be broken on any day, or on no mirror near: no fault of ours.
        if test "$status" = 75 && test "$suite" = forky; then
            untested+=("python$version: Debian's $suite, which is not released, could not be fetched")
        elif test "$status" != 0; then
            exit "$status"
        fi
    else
        untested+=("python$version: not on this machine, which has no root or no apt-get to fetch it")
    fi
done
for one in "${untested[@]}"; do echo "NOT TESTED: $one" >&2; done
