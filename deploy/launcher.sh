#!/bin/sh
# Chooses how the demo launches enclaves: prints the options for `sealroom demo`, and says in one line which and why.
#
#   deploy/launcher.sh IMAGE-FOLDER
#
# LAUNCHER=process or LAUNCHER=docker decides it; the latter fails where it cannot be done. Where an engine answers and has no
# container image of the present sources, one is built, unless BUILD=no.
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

# Why the engine cannot launch what the sources say now; nothing if it can.
outdated() {
  [ -f "$built" ] || { echo "there is no container image"; return; }
  newer=$(find protocol attestation enclave host/image requirements/gate.txt requirements/job.txt Dockerfile deploy/base \
    -type f ! -name '*.pyc' ! -name '*.md' -newer "$built" | head -1)
  [ -z "$newer" ] || { echo "$newer is newer than the container image"; return; }
  answers "$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["id"])' "$built")" ||
    echo "the engine does not have the container image"
}

reason=$(outdated)
if [ -n "$reason" ]; then
  [ "${BUILD:-}" != no ] || process "$reason; \`make image-docker\` builds it"
  echo "sealroom: $reason; building it (once; some minutes)" >&2
  mkdir -p build
  deploy/build-image.sh "${BASE:-}" >build/container.log 2>&1 ||
    process "$reason, and none could be built: $(grep -m1 'error:' build/container.log || echo see build/container.log)"
fi
echo "sealroom: launcher: docker (an engine answers at $engine and has the image)" >&2
echo "--image $folder --container $built"
