"""Reads which file systems are mounted, and from where."""


def run(tables, ask):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return [0, 1] if mounts.read() else []
