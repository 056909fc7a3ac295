# shellcheck shell=sh
# What both scripts that build container images know of bases; they read this file in at the top of the checkout.
#
# A base is an image that the engine has or can pull, named by its digest (NAME@sha256:...), or an image that the engine has,
# by its id (sha256:...). A tag alone is refused: it may lead to another image tomorrow. Without one, a base is made out of
# Debian packages (deploy/base/build.sh).

say() { echo "sealroom: $*" >&2; }
fail() { echo "sealroom: error: $1" >&2; echo "sealroom: hint: $2" >&2; exit 1; }

_is() { printf '%s' "$base" | grep -Eqx "$1"; }

# Sets `kind` by the form of `base`, before anything is done.
check_base() {
  if [ -z "$base" ]; then kind=own
  elif _is 'sha256:[0-9a-f]{64}'; then kind=id
  elif _is '[^@ ]+@sha256:[0-9a-f]{64}'; then kind=digest
  else fail "BASE is $base, which may be another image tomorrow" "name it by its digest, NAME@sha256:..., or by its id, sha256:..."
  fi
}

check_engine() {
  docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    fail "no Docker engine answers" "start one, or set DOCKER_HOST=unix:///path/of/its/socket"
}

# Sets `from`, the name for a Dockerfile, and `base`, which stands for content.
name_base() {
  case $kind in
  own) _own_base ;;
  id) _base_by_id ;;
  digest) from=$base ;;
  esac
}

# An image's interpreter must be of the minor version that its packages were installed for.
check_python() {
  version='import sys; print(*sys.version_info[:2], sep=".")'
  ours=$("$python" -c "$version")
  theirs=$(docker run --rm --network none --read-only --cap-drop ALL --entrypoint /usr/local/bin/python3 "$1" -I -c "$version")
  [ "$ours" = "$theirs" ] ||
    fail "$base has python $theirs, the packages are for python $ours" "choose a BASE with python $ours at /usr/local/bin/python3"
}

# The tag holds the digest of the bytes, since every import of the same bytes gets another id.
_own_base() {
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
_base_by_id() {
  docker image inspect "$base" >/dev/null 2>&1 || fail "the engine has no image $base" "load it, or name it by NAME@sha256:..."
  from=sealroom-base:id-$(echo "${base#sha256:}" | cut -c1-32)
  docker tag "$base" "$from"
}
