#!/bin/sh
# upgrade.sh [docker compose -f FILE]: replace the gateways one by one, so that no request is lost (make upgrade).
# New ones start beside the old ones and are healthy first. Then each old one drains. A failed start changes nothing.
set -eu
compose=${*:-docker compose}
old=$($compose ps --quiet gateway)
count=$(echo "$old" | wc -w)
test "$count" -gt 0 || { echo "No gateway runs: start them with $compose up --build --wait" >&2; exit 1; }
undo() {
    echo "The new gateways did not become healthy: they are removed, and the old ones go on." >&2
    for one in $($compose ps --all --quiet gateway); do
        case " $(echo $old) " in *" $one "*) ;; *) docker logs --tail 5 "$one" >&2; docker rm --force "$one" >/dev/null ;; esac
    done
    exit 1
}
$compose build gateway
$compose up --detach --no-deps --no-recreate --wait --scale "gateway=$((2 * count))" gateway || undo
for one in $old; do
    docker stop --time 30 "$one" >/dev/null
    docker rm "$one" >/dev/null
done
$compose up --detach --no-deps --no-recreate --wait --scale "gateway=$count" gateway
