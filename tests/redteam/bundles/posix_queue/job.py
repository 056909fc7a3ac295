"""Posts the canary in a POSIX message queue."""

import target
from tools import call


def run(tables, ask):
    queue = call(240, target.QUEUE, 0o102, 0o600, 0)  # mq_open, O_CREAT | O_RDWR
    call(242, queue, target.CANARY, len(target.CANARY), 0, 0)  # mq_timedsend
    return [0, 1]
