"""Logging in at a stack's own servers as somebody who should no longer be let in, to see that he is not."""

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from cli.environment import users
from cli.errors import FailedError
from cli.kubectl import Kubectl
from settings import Settings
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

REFUSED_WITHIN_SECONDS = 180
"""The kubelet writes a changed Secret into a running pod within two minutes; then the server reads it within seconds."""
ASK_SECONDS = 20
EVERY_SECONDS = 3

Answer = Literal["let in", "refused", "no answer"]


@dataclass(frozen=True)
class Login:
    """The app's login at one service, as a config var says it."""

    service: str
    """The component of its servers: postgres, redis-jobs, mqtt, elasticsearch."""
    members: int
    user: str
    password: str
    database: str

    def answers(self, kubectl: Kubectl) -> dict[str, Answer]:
        """Try to log in at each of the servers from its own pod; the password goes through standard input."""
        pods = [f"{self.service}-{number}" for number in range(self.members)]
        return {pod: self._answer(kubectl, pod) for pod in pods}

    def _answer(self, kubectl: Kubectl, pod: str) -> Answer:
        script, let_in, refused = _scripts(self)
        argv = kubectl.argv("exec", "--stdin", pod, "--container", _container(self.service), "--", "sh", "-c", script)
        try:
            done = subprocess.run(
                argv, input=self.password, capture_output=True, text=True, env=users(), cwd=ROOT, timeout=ASK_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return "no answer"
        said = done.stdout + done.stderr
        if let_in in said:
            return "let in"
        return "refused" if any(words in said for words in refused) else "no answer"


def of_config(said: Settings, service: tuple[str, ...], config: Mapping[str, str]) -> Login:
    """Return the login at a service that the config vars `config` have; UserError when they have none."""
    kind = service[0]
    if kind == "postgres":
        name, members, var = "postgres", said.postgres.members, said.postgres.config_var
    elif kind == "redis":
        name, members, var = f"redis-{service[1]}", 1, said.redis[service[1]].config_var
    elif kind == "mqtt":
        name, members, var = "mqtt", said.mqtt.members, said.mqtt.management_var
    else:
        name, members, var = "elasticsearch", said.elasticsearch.members, said.elasticsearch.config_var
    if var not in config:
        raise UserError(f"the app that runs was not given {var} yet: bring the stack up first, and then rotate {'.'.join(service)}")
    parts = urlsplit(config[var])
    return Login(name, members, unquote(parts.username or ""), unquote(parts.password or ""), parts.path.strip("/"))


def wait_refused(logins: list[Login], kubectl: Kubectl, progress: Progress) -> None:
    """Wait until every server refuses the logins; FailedError says which still lets one in, or does not answer."""
    if not logins:
        return
    deadline = time.monotonic() + REFUSED_WITHIN_SECONDS
    with progress.step(f"waiting until {', '.join(login.service for login in logins)} refuse the passwords of before"):
        for login in logins:
            while not_yet := {pod: answer for pod, answer in login.answers(kubectl).items() if answer != "refused"}:
                if time.monotonic() > deadline:
                    told = ", ".join(f"{pod}: {answer}" for pod, answer in not_yet.items())
                    raise FailedError(
                        f"{told} with the revoked password of {login.user or 'default'}, {REFUSED_WITHIN_SECONDS} s after it was revoked. "
                        f"Look with: ./sy kubectl logs {next(iter(not_yet))}"
                    )
                time.sleep(EVERY_SECONDS)


def _container(service: str) -> str:
    return "valkey" if service.startswith("redis-") else service


def _scripts(login: Login) -> tuple[str, str, tuple[str, ...]]:
    """Return a shell script that logs in with the password that it reads, what it says then, and what it says when it is refused."""
    if login.service == "postgres":
        # Each member by itself: the Service leads to the primary alone.
        address = f"host=127.0.0.1 user={login.user} dbname={login.database} connect_timeout=5"
        script = f'PGPASSWORD=$(cat) psql -X -w -A -t -d "{address}" -c "SELECT 41 + 1"'
        return script, "42", ("password authentication failed", "is not permitted to log in")
    if login.service.startswith("redis-"):
        return "REDISCLI_AUTH=$(cat) valkey-cli --no-auth-warning ping 2>&1", "PONG", ("WRONGPASS",)
    place = "http://127.0.0.1:15672/api/whoami"
    more = ""
    if login.service == "elasticsearch":
        place, more = "https://localhost:9200/_security/_authenticate", "cacert = /run/secrets/elasticsearch-tls/ca.crt\\n"
    config = f'printf \'{more}user = "{login.user}:%s"\\nsilent\\noutput = /dev/null\\nwrite-out = "status %%{{http_code}}"\' "$(cat)"'
    return f"{config} | curl --config - {place}", "status 200", ("status 401",)
