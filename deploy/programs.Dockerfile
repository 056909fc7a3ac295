# The container image of a program: a base file system, and the folder of packages that deploy/build-programs.sh installed.
#
# These are the services of a party or an operator (deploy/compose). The image of the enclave is another: see Dockerfile.
# BASE has Python at /usr/local/bin/python3, and is named by digest or id. Nothing runs while building, and no network is needed.
ARG BASE
FROM ${BASE} AS base

# From scratch, so that no variable, command or volume of the base's settings is inherited.
FROM scratch
ARG PLACE
COPY --from=base / /
COPY . ${PLACE}
ENV PATH=${PLACE}/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
# Compose files name the user that a home belongs to; whoever forgets it is not root.
USER 65532:65532
