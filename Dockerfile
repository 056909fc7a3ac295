# The container image of an enclave: a base file system, and the image folder that `sealroom.host.image` built.
#
#   deploy/build-image.sh BASE [TAG]        does all of it and prints id and measurement
#
# BASE has Python at /usr/local/bin/python3, of the minor version that the image folder was built with: an ordinary
# `python:3.11-slim-bookworm` pinned by its digest, or what `deploy/base/build.sh` makes out of Debian packages. The script
# takes no tag alone, and there is no default, because whoever approves the image must know what is in it. Nothing runs while building, and no network is needed.
ARG BASE
FROM ${BASE} AS base

# From scratch, so that no variable, command or volume of the base's settings is inherited.
FROM scratch
ARG TSM=tsm/report
COPY --from=base / /
COPY gate /opt/sealroom/gate
COPY job /opt/sealroom/job
COPY app /opt/sealroom/app
COPY launch.json /opt/sealroom/launch.json
# The rest must say what launch.json says: an image where they differ is refused when it is measured.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SEALROOM_TSM=${TSM} TZ=UTC
WORKDIR /run/sealroom
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/python3", "-I", "-S", "-B", "/opt/sealroom/app/boot.py", "gate"]
