#!/bin/sh
# Builds the container images of a party's broker and of the operator's gateway and simulated processor, prints their ids, and
# writes them to build/programs.json for deploy/compose.
#
#   deploy/build-programs.sh [BASE]
#
# BASE is named by digest or id, or made out of Debian packages (deploy/bases.sh). Packages are those that
# `make setup` installed by the hashes in requirements/, copied file by file as their records vouch for them; while an image is
# built nothing is fetched and nothing runs. PYTHON is an interpreter that has this project and its packages installed. OUT is
# where all of it goes.
set -eu

base=${1:-${BASE:-}}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
out=${OUT:-build}
cd "$top"
. deploy/bases.sh
check_base
check_engine

# A virtual environment in all but name: where it lies in an image is known here, which interpreter runs it is the image's.
install_to() { # FOLDER, LOCK, PLACE, COMMAND, OUR FOLDERS
  rm -rf "$1"
  mkdir -p "$1/bin"
  "$python" - "$1" "requirements/$2.txt" "$5" <<'PY'
import shutil, sys
from pathlib import Path
from sealroom.host.image.distributions import Locked
folder, lock, ours = sys.argv[1:]
packages = Path(folder, "lib", "python{}.{}".format(*sys.version_info), "site-packages")
Locked(Path(lock)).copy_to(packages)
for name in ours.split():
    shutil.copytree(name, packages / "sealroom" / name, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
shutil.copy("sealroom/__init__.py", packages / "sealroom")
PY
  printf 'home = /usr/local/bin\ninclude-system-site-packages = false\n' >"$1/pyvenv.cfg"
  ln -s /usr/local/bin/python3 "$1/bin/python3"
  ln -s python3 "$1/bin/python"
  printf '#!%s/bin/python3 -I\nfrom sealroom.%s.__main__ import main\n\nmain()\n' "$3" "${5##* }" >"$1/bin/$4"
  chmod 755 "$1/bin/$4"
  # Nothing in an image should depend on the times of files.
  "$python" -m compileall -q -j 2 --invalidation-mode unchecked-hash -s "$1" -p "$3" "$1/lib"
  chmod -R u=rwX,go=rX "$1"
}

image_of() { # NAME, LOCK, PLACE, COMMAND, OUR FOLDERS
  folder=$out/programs/$1
  say "installing the packages of the $1"
  install_to "$folder" "$2" "$3" "$4" "$5"
  docker build --quiet --network none --build-arg "BASE=$from" --build-arg "PLACE=$3" \
    --file deploy/programs.Dockerfile --tag "sealroom-$1:local" "$folder" >/dev/null
  check_python "sealroom-$1:local"
  docker image inspect --format '{{.Id}}' "sealroom-$1:local"
}

mkdir -p build "$out"
name_base
# The places are those of the units for systemd, so that a command is the same under either.
broker=$(image_of broker party /opt/sealroom sealroom "protocol attestation client")
gateway=$(image_of gateway host /opt/sealroom-host sealroom-host "protocol attestation host")
printf '{"format": "sealroom/program-images/v1", "base": "%s", "broker": "%s", "gateway": "%s"}\n' \
  "$base" "$broker" "$gateway" >"$out/programs.json.new"
mv "$out/programs.json.new" "$out/programs.json"
echo "broker  $broker"
echo "gateway $gateway"
