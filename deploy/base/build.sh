#!/bin/sh
# Makes the base of container images out of Debian packages: an interpreter, a C++ runtime, and nothing that installs things.
#
#   deploy/base/build.sh BASE.tar
#
# Needs mmdebstrap, and root or user namespaces. Two runs against the same state of Debian's archive give the same bytes.
# Debian 12 has Python 3.11, so build the image with a Python 3.11; for another, take another suite.
set -eu

out=${1:?usage: deploy/base/build.sh BASE.tar}
suite=${SUITE:-bookworm}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000}
export SOURCE_DATE_EPOCH

# `extract` unpacks packages without running their scripts: no package manager, no accounts, nothing generated.
# Byte code is made unchecked, so that nothing in the image depends on file times; a link gives the path that images name.
# shellcheck disable=SC2016
exec mmdebstrap --variant=extract --include=python3,libstdc++6,tzdata \
  --extract-hook='rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/lintian "$1"/usr/share/locale' \
  --extract-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +' \
  --extract-hook='mkdir -p "$1"/usr/local/bin "$1"/run/sealroom "$1"/opt/sealroom "$1"/tmp && chmod 1777 "$1"/tmp' \
  --extract-hook='ln -sf /usr/bin/python3 "$1"/usr/local/bin/python3' \
  --extract-hook='env -i PATH="$PATH" PYTHONHASHSEED=0 LC_ALL=C.UTF-8 chroot "$1" /usr/bin/python3 -s -S -m compileall \
    -q -f --invalidation-mode unchecked-hash /usr/lib/python3.11' \
  "$suite" "$out"
