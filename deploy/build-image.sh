#!/bin/sh
# Builds the container image of an enclave, and writes what owners and operator need of it to build/container.json.
#
#   deploy/build-image.sh [BASE] [TAG]
#
# BASE is named by digest or id, or made out of Debian packages (deploy/bases.sh). PLATFORM=hardware asks for an image for
# confidential hardware; the default is one for the simulated platform. PYTHON is an interpreter that has this project and its
# packages installed. OUT is where the results go. Two builds may differ in id, since engines record times; their
# measurements are the same.
set -eu

base=${1:-${BASE:-}}
tag=${2:-sealroom:local}
platform=${PLATFORM:-simulated}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
out=${OUT:-build}
folder=build/image-container-$platform
archive=$out/container.tar
result=$out/container.json

cd "$top"
. deploy/bases.sh
check_base
check_engine
mkdir -p build "$out"
# What changes from here on is newer than the result.
touch "$result.new"
"$python" -m sealroom.host.image build --kind container --tsm "$platform" --out "$folder"
name_base
reports=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["env"]["SEALROOM_TSM"])' "$folder/launch.json")
docker build --quiet --network none --build-arg "BASE=$from" --build-arg "TSM=$reports" \
  --file Dockerfile --tag "$tag" "$folder" >/dev/null
check_python "$tag"

image=$(docker image inspect --format '{{.Id}}' "$tag")
docker save --output "$archive" "$image"
"$python" - "$result.new" "$image" "$base" "$(basename "$archive")" <<'PY'
import json, os, pathlib, sys
from sealroom.attestation.measurement.measure import measure
result, image, base, archive = sys.argv[1:]
file = pathlib.Path(result)
found = measure(file.parent / archive)
if found.image_id != image:
    sys.exit("sealroom: error: the engine saved another image than it built")
engine = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
started = file.stat().st_mtime_ns
value = {"archive": archive, "base": base, "engine": engine, "id": image, "measurement": found.value}
file.write_text(json.dumps({"format": "sealroom/container-image/v1", **value}, indent=1) + "\n", "utf-8")
os.utime(file, ns=(started, started))
print("image      ", image)
print("measurement", found.value)
PY
mv "$result.new" "$result"
say "$result says what was built; owners measure $archive"
