#!/bin/sh
# Builds the container image of an enclave, and writes what owners and operator need of it to build/container.json.
#
#   deploy/build-image.sh [BASE] [TAG]
#
# BASE is an image that the engine has or can pull, named by its digest (NAME@sha256:...), or an image that the engine has, by
# its id (sha256:...). A tag alone is refused: it may lead to another image tomorrow. Without BASE, one is made out of Debian
# packages (deploy/base/build.sh). PLATFORM=hardware asks for an image for confidential hardware; the default is one for the
# simulated platform. PYTHON is an interpreter that has this project and its packages installed. OUT is where the results go.
# Two builds may differ in id, since engines record times; their measurements are the same.
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

say() { echo "sealroom: $*" >&2; }
fail() { echo "sealroom: error: $1" >&2; echo "sealroom: hint: $2" >&2; exit 1; }

# The tag holds the digest of the bytes, since every import of the same bytes gets another id.
own_base() {
  made=build/base.tar
  if [ ! -f "$made" ] || [ deploy/base/build.sh -nt "$made" ]; then
    command -v mmdebstrap >/dev/null ||
      fail "no BASE is given, and mmdebstrap is not installed" "BASE=python:3.11-slim-bookworm@sha256:... (deploy/README.md)"
    say "making a base out of Debian packages (about a minute)"
    new=build/base.new.tar # mmdebstrap goes by the ending
    rm -f "$new"
    deploy/base/build.sh "$new" >build/base.log 2>&1 ||
      { tail -5 build/base.log >&2; fail "the base was not made" "see build/base.log, or give BASE=IMAGE"; }
    mv "$new" "$made"
  fi
  from=sealroom-base:$(sha256sum "$made" | cut -c1-16)
  docker image inspect "$from" >/dev/null 2>&1 || docker import "$made" "$from" >/dev/null
  base=$(docker image inspect --format '{{.Id}}' "$from")
}

# An id stands for content, but a Dockerfile takes names only: the engine gives the image one that holds the id.
base_by_id() {
  docker image inspect "$base" >/dev/null 2>&1 || fail "the engine has no image $base" "load it, or name it by NAME@sha256:..."
  from=sealroom-base:id-$(echo "${base#sha256:}" | cut -c1-32)
  docker tag "$base" "$from"
}

is() { printf '%s' "$base" | grep -Eqx "$1"; }

cd "$top"
if [ -z "$base" ]; then kind=own
elif is 'sha256:[0-9a-f]{64}'; then kind=id
elif is '[^@ ]+@sha256:[0-9a-f]{64}'; then kind=digest
else fail "BASE is $base, which may be another image tomorrow" "name it by its digest, NAME@sha256:..., or by its id, sha256:..."
fi

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
  fail "no Docker engine answers" "start one, or set DOCKER_HOST=unix:///path/of/its/socket"
mkdir -p build "$out"
# What changes from here on is newer than the result.
touch "$result.new"
"$python" -m sealroom.host.image build --kind container --tsm "$platform" --out "$folder"
case $kind in
own) own_base ;;
id) base_by_id ;;
digest) from=$base ;;
esac
reports=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["env"]["SEALROOM_TSM"])' "$folder/launch.json")
docker build --quiet --network none --build-arg "BASE=$from" --build-arg "TSM=$reports" \
  --file Dockerfile --tag "$tag" "$folder" >/dev/null

version='import sys; print(*sys.version_info[:2], sep=".")'
ours=$("$python" -c "$version")
theirs=$(docker run --rm --network none --read-only --cap-drop ALL --entrypoint /usr/local/bin/python3 "$tag" -I -c "$version")
[ "$ours" = "$theirs" ] ||
  fail "$base has python $theirs, the packages are for python $ours" "choose a BASE with python $ours at /usr/local/bin/python3"

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
