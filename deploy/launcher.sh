#!/bin/sh
# Chooses how the demo launches enclaves: prints the options for `sealroom demo`, and says in one line which and why.
#
#   deploy/launcher.sh IMAGE-FOLDER
#
# LAUNCHER=process or LAUNCHER=docker decides it; the latter fails where it cannot be done.
set -eu

folder=${1:?usage: deploy/launcher.sh IMAGE-FOLDER}
wanted=${LAUNCHER:-}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
engine=${DOCKER_HOST:-unix:///var/run/docker.sock}
built=build/container.json
cd "$top"

process() {
  [ "$wanted" != docker ] || { echo "sealroom: error: no launch in Docker: $1" >&2; exit 1; }
  echo "sealroom: launcher: process ($1)" >&2
  echo "--image $folder"
  exit 0
}

answers() {
  "$python" -c '
import sys, docker
client = docker.DockerClient(base_url=sys.argv[1], timeout=5)
client.ping()
client.images.get(sys.argv[2]) if sys.argv[2] else None' "$engine" "$1" 2>/dev/null
}

[ "$wanted" != process ] || process "as asked"
case $engine in unix:///*) ;; *) process "the engine at $engine is not behind a Unix socket" ;; esac
[ -S "${engine#unix://}" ] && answers "" || process "no Docker engine answers at $engine"
[ -f "$built" ] || process "an engine answers, but there is no container image; \`make image-docker\` builds it"
newer=$(find protocol attestation enclave host/image requirements/gate.txt requirements/job.txt Dockerfile deploy/base \
  -type f ! -name '*.pyc' ! -name '*.md' -newer "$built" | head -1)
[ -z "$newer" ] || process "$newer is newer than the container image; \`make image-docker\` builds it again"
answers "$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["id"])' "$built")" ||
  process "the engine does not have the container image; \`make image-docker\` builds it"
echo "sealroom: launcher: docker (an engine answers at $engine and has the image)" >&2
echo "--image $folder --container $built"
