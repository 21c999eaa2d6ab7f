#!/bin/sh
# Installs Node, Chromium and nginx by apt where they are missing, as root.
set -eu
missing=
command -v npm >/dev/null || missing="nodejs npm"
command -v chromium >/dev/null || missing="$missing chromium"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v curl >/dev/null || missing="$missing curl"
if [ -n "$missing" ]; then
	apt-get update -qq
	# shellcheck disable=SC2086  # these are several packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
node -e 'if (parseInt(process.versions.node) < 20) { console.error(`Node ${process.versions.node} is too old: 20 or later is needed.`); process.exit(1); }'
