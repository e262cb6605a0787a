"""Listens, and tries its targets over and over: a line of JSON for each try. Runs in a pod, alone; the same as probe.rb."""

import json
import os
import socket
import threading
import time
from typing import Any

said: Any = json.loads(os.environ["PROBE"])


def listen() -> None:
    """Let everybody connect."""
    dual = socket.has_dualstack_ipv6()
    server = socket.create_server(("", said["port"]), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual)
    while True:
        server.accept()[0].close()


def attempt(host: str, port: int) -> str:
    """Connect, or look the name up where there is no port; OSError when that fails."""
    if not port:
        return str(socket.getaddrinfo(host, None)[0][4][0])
    socket.create_connection((host, port), timeout=1.5).close()
    return ""


def repeat(name: str, host: str, port: int) -> None:
    """Try one target for ever."""
    count = 0
    while True:
        count += 1
        try:
            ok, text = True, attempt(host, port)
        except OSError as error:
            ok, text = False, str(error)
        os.write(1, (json.dumps({"target": name, "count": count, "ok": ok, "said": text}) + "\n").encode())
        time.sleep(0.3)


for target in said["targets"]:
    threading.Thread(target=repeat, args=(target["name"], target["host"], target["port"]), daemon=True).start()
threading.Thread(target=listen, daemon=True).start()
time.sleep(said["seconds"])
