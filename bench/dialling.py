"""Dials places from network namespaces, all at once: a helper process of bench.matrix, run by itself as root.

It reads {path of a network namespace: [[address, port], …]} as JSON and prints for each place what came of it: "open", or the error.
"""

import ctypes
import errno
import json
import os
import resource
import select
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

SECONDS = 3.0
"""A packet that a firewall swallows is never answered; one that it refuses is answered at once, and so is one that is let in."""
CLONE_NEWNET = 0x40000000


def main() -> None:
    asked: dict[str, list[list[str | int]]] = json.load(sys.stdin)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A network namespace is a thread's own: a few seconds of waiting are the same ones for all.
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        done = pool.map(dialled, asked.keys(), asked.values())
        print(json.dumps(dict(zip(asked, done, strict=True))))


def dialled(netns: str, places: list[list[str | int]]) -> list[str]:
    """Return what came of dialling places from one network namespace."""
    enter(netns)
    outcomes = ["timeout"] * len(places)
    waiting: dict[int, tuple[int, socket.socket]] = {}
    poll = select.epoll()
    for number, (address, port) in enumerate(places):
        dialling = socket.socket()
        dialling.setblocking(False)
        said = dialling.connect_ex((str(address), int(port)))
        if said == errno.EINPROGRESS:
            waiting[dialling.fileno()] = (number, dialling)
            poll.register(dialling, select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP)
        else:
            outcomes[number] = told(said)
            dialling.close()
    deadline = time.monotonic() + SECONDS
    while waiting and (left := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(left):
            number, dialling = waiting.pop(handle)
            outcomes[number] = told(dialling.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            poll.unregister(handle)
            dialling.close()
    for _, dialling in waiting.values():
        dialling.close()
    poll.close()
    return outcomes


def enter(netns: str) -> None:
    """Move this thread into a network namespace."""
    handle = os.open(netns, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"can not enter {netns}")
    finally:
        os.close(handle)


def told(error: int) -> str:
    """Return what an error number means: open for none."""
    return "open" if error == 0 else errno.errorcode.get(error, str(error))


if __name__ == "__main__":
    main()
