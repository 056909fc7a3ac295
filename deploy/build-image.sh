#!/bin/sh
# Builds the container image of an enclave and prints its id and its measurement.
#
#   deploy/build-image.sh BASE [TAG]
#
# BASE is an image that the engine has (see Dockerfile). PLATFORM=hardware asks for an image for confidential hardware; the
# default is one for the simulated platform. PYTHON is an interpreter that has this project and its packages installed.
# Two builds may differ in id, since engines record times; their measurements are the same.
set -eu

base=${1:-${BASE:?usage: deploy/build-image.sh BASE [TAG]}}
tag=${2:-sealroom:local}
platform=${PLATFORM:-simulated}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
folder=$top/build/image-container-$platform

cd "$top"
"$python" -m sealroom.host.image build --kind container --tsm "$platform" --out "$folder"
reports=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["env"]["SEALROOM_TSM"])' "$folder/launch.json")
docker build --quiet --network none --build-arg "BASE=$base" --build-arg "TSM=$reports" \
  --file Dockerfile --tag "$tag" "$folder" >/dev/null

version='import sys; print(*sys.version_info[:2], sep=".")'
ours=$("$python" -c "$version")
theirs=$(docker run --rm --network none --read-only --cap-drop ALL --entrypoint /usr/local/bin/python3 "$tag" -I -c "$version")
if [ "$ours" != "$theirs" ]; then
  echo "sealroom: error: $base has python $theirs, the packages are for python $ours" >&2
  exit 1
fi

docker image inspect --format 'image       {{.Id}}' "$tag"
docker save "$(docker image inspect --format '{{.Id}}' "$tag")" | "$python" -c '
import sys
from sealroom.attestation.measurement.measure import measure_archive
print("measurement", measure_archive(sys.stdin.buffer).value)'
