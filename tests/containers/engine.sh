#!/usr/bin/env bash
# engine.sh WORK COMMAND...: a Docker engine for as long as COMMAND takes, in mount, network and process namespaces of
# its own. It has no way out: its network has a loopback and the engine's bridges, and no route beyond them.
set -euo pipefail
if test "${1:-}" != --inside; then
    . "$(dirname "$0")/../support/namespaces.sh"
    state=$(mktemp -d -t tallygate-engine.XXXXXX)
    # The namespaces take every process and mount with them. The control groups outlive them.
    clean() {
        find /sys/fs/cgroup -depth -path '*/docker*' -type d -exec rmdir {} + 2>/dev/null || true
        rm -rf "$state"
    }
    trap clean EXIT
    in_namespaces --mount --net "$0" --inside "$state" "$@"
    exit
fi
state=$2; WORK=$(realpath "$3"); export WORK; shift 3
mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
mkdir "$state/tmp"; export DOCKER_HOST=unix://$state/docker.sock TMPDIR=$state/tmp
dockerd --data-root="$state/data" --exec-root="$state/exec" --pidfile="$state/docker.pid" --host="$DOCKER_HOST" \
    --bip=198.19.0.1/24 --default-address-pool=base=198.18.0.0/16,size=24 >"$WORK/dockerd.log" 2>&1 &
for _ in $(seq 200); do docker version >/dev/null 2>&1 && break; sleep 0.1; done
docker version >/dev/null || { tail "$WORK/dockerd.log" >&2; exit 1; }
"$(dirname "$0")/images.sh" "$WORK"
"$@"
