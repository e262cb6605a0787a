"""Elasticsearch as a stack runs it, on a real cluster: one node, because more want more open files than this machine allows."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bench.load import wait_until
from cli import logins
from cli import sandbox as cli_sandbox
from tests.cluster.trial import BARE, PRODUCT_IMAGES, Trial, overlay
from tests.engine.project import Project
from tools.progress import Progress

ASK = """
require "net/http"
uri = URI(ENV.fetch("ELASTICSEARCH_URL"))
user, verb, path, body = ARGV
options = { use_ssl: true, ca_file: ENV.fetch("ELASTICSEARCH_CA_FILE"), open_timeout: 5 }
Net::HTTP.start(uri.host, uri.port, **options) do |http|
  request = Net::HTTP.const_get(verb).new(path, "content-type" => "application/json")
  request.basic_auth(user.empty? ? uri.user : user, uri.password) unless user == "-"
  request.body = body
  answer = http.request(request)
  puts answer.code, answer.body
end
"""
READY_SECONDS = 120
SMALL: dict[str, Any] = {
    "elasticsearch": {"where": "cluster", "resources": {"cpu": "30m", "memory": "1Gi"}},
    "web": {"web": {"resources": {"cpu": "20m", "memory": "256Mi"}}},
    "processes": {"indexer": None},
}
"""A stack that finds room beside others."""


@dataclass
class Search:
    """A stack of one web process and Elasticsearch."""

    trial: Trial
    images: dict[str, Any]

    def say(self, said: dict[str, Any]) -> None:
        self.trial.say(overlay({**SMALL, "images": self.images}, {"elasticsearch": said}))

    def url(self) -> str:
        """Return what the app reaches the server by, password included."""
        return self.trial.kubectl.secret(str(self.trial.outputs()["config_secret"]))["ELASTICSEARCH_URL"]

    def uid(self) -> str:
        """Return what tells the one pod from a later one of its name."""
        return self.run("get", "pod", "elasticsearch-0", "--output", "jsonpath={.metadata.uid}")

    def run(self, *words: str) -> str:
        done = subprocess.run(self.trial.kubectl.argv(*words), capture_output=True, text=True, timeout=READY_SECONDS + 30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, verb: str, path: str, body: object = None, user: str = "") -> tuple[int, Any]:
        """Ask from a web pod with what its config vars say; `user` is another account, `-` none."""
        words = [user, verb, path, *([body if isinstance(body, str) else json.dumps(body)] if body is not None else [])]
        code, _, answer = self.run("exec", "deployment/web", "--container", "app", "--", "ruby", "-e", ASK, *words).partition("\n")
        return int(code), json.loads(answer) if answer.strip().startswith("{") else answer

    def falls(self) -> int:
        return self.ask("Get", "/falls/_search?q=lamp:one")[1]["hits"]["total"]["value"]

    def count(self, index: str) -> int:
        return self.ask("Get", f"/{index}/_count")[1]["count"]

    def restore(self, *words: str, code: int = 0) -> str:
        """Run restore.sh as somebody on call does, with nobody there to answer; return all it says."""
        argv = self.trial.kubectl.argv("exec", "elasticsearch-0", "--", "sh", "/etc/elasticsearch/restore.sh", *words)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=READY_SECONDS, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ready(self) -> bool:
        conditions = self.run("get", "pod/elasticsearch-0", "--output", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")
        return conditions == "True"


@pytest.fixture(scope="module")
def search(make_checkout: Callable[[], Project]) -> Iterator[Search]:
    progress = Progress()
    started = cli_sandbox.start(None, [*PRODUCT_IMAGES, "elasticsearch"], progress)
    progress.close()
    trial = Trial("external-search", make_checkout(), started, BARE)
    made = Search(trial, {"pinned": {"elasticsearch": started.references["elasticsearch"]}})
    try:
        made.say({})
        trial.must_up()
        yield made
    finally:
        trial.destroy()


class TestOneNode:
    def test_the_app_indexes_and_searches(self, search: Search) -> None:
        assert search.ask("Put", "/falls/_doc/1?refresh=true", {"lamp": "one"})[0] == 201
        assert search.falls() == 1

    def test_nobody_gets_in_without_a_password_or_as_a_superuser(self, search: Search) -> None:
        assert search.ask("Get", "/_cluster/health", user="-")[0] == 401
        assert search.ask("Get", "/_cluster/health", user="elastic")[0] == 401

    def test_the_app_may_not_change_the_cluster(self, search: Search) -> None:
        assert search.ask("Put", "/_cluster/settings", {"persistent": {"cluster.routing.allocation.enable": "none"}})[0] == 403
        assert search.ask("Get", "/_cluster/health")[1]["status"] in ("green", "yellow")

    def test_the_heap_is_half_of_the_memory(self, search: Search) -> None:
        [node] = search.ask("Get", "/_nodes/jvm")[1]["nodes"].values()
        assert node["jvm"]["mem"]["heap_max_in_bytes"] == 512 * 2**20

    def test_what_was_indexed_survives_a_killed_node(self, search: Search) -> None:
        search.run("delete", "pod/elasticsearch-0", "--grace-period=0", "--force")
        wait_until(search.ready, READY_SECONDS, lambda: search.run("describe", "pod/elasticsearch-0"))
        assert search.falls() == 1, "ready means recovered"

    def test_what_a_snapshot_has_comes_back_after_the_index_is_deleted(self, search: Search) -> None:
        lamps = {f"lamp-{number}": {"lamp": f"lamp-{number}", "fallen": number % 2 == 0} for number in range(50)}
        lines = [line for key, document in lamps.items() for line in ({"create": {"_id": key}}, document)]
        assert search.ask("Post", "/events-2026.11.22/_bulk", "".join(f"{json.dumps(line)}\n" for line in lines))[1]["errors"] is False
        search.run("create", "job", "snapshot-now", "--from=cronjob/elasticsearch-snapshots")
        search.run("wait", "job/snapshot-now", "--for=condition=complete", f"--timeout={READY_SECONDS}s")
        assert search.ask("Delete", "/events-2026.11.22")[0] == 200
        assert search.ask("Get", "/events-2026.11.22/_count")[0] == 404

        search.restore("latest", "events-*")
        hits = search.ask("Get", "/events-2026.11.22/_search?size=100")[1]["hits"]["hits"]
        assert {hit["_id"]: hit["_source"] for hit in hits} == lamps

    def test_what_is_there_is_written_over_only_when_somebody_says_so(self, search: Search) -> None:
        assert search.ask("Put", "/events-2026.11.22/_doc/later?refresh=true", {"lamp": "later"})[0] == 201
        refused = search.restore("latest", "events-2026.11.22", code=2)
        assert re.search(r"events-2026\.11\.22 +open +51 ", refused) and "nothing was changed" in refused
        assert search.count("events-2026.11.22") == 51

        search.restore("latest", "events-2026.11.22", "--as", "events-before")
        assert (search.count("events-before"), search.count("events-2026.11.22")) == (50, 51)
        search.restore("latest", "events-2026.11.22", "--yes")
        assert search.count("events-2026.11.22") == 50

    def test_a_second_preview_finds_nothing_to_change(self, search: Search) -> None:
        result = search.trial.has_no_changes()
        assert result.code == 0, result.text

    def test_new_passwords_are_for_a_new_account_and_the_old_one_gets_in_until_it_is_revoked(self, search: Search) -> None:
        old = search.url()
        uid = search.uid()
        search.say({"rotation": 2})
        search.trial.must_up()
        assert search.uid() == uid, "it takes them as it runs"
        new = search.url()
        assert old.startswith("https://app:") and new.startswith("https://app-2:")
        assert search.falls() == 1
        words = ("exec", "deployment/web", "--container", "app", "--", "env", f"ELASTICSEARCH_URL={old}", "ruby", "-e", ASK)
        assert search.run(*words, "", "Get", "/falls/_count").startswith("200\n")

    @pytest.mark.long
    def test_a_revoked_account_is_refused_and_nothing_is_restarted(self, search: Search) -> None:
        old, now = search.url(), search.trial.settings.elasticsearch.rotation
        uid = search.uid()
        search.say({"rotation": now + 1, "revoked": now - 1})
        search.trial.must_up()
        search.say({"rotation": now + 1, "revoked": now})
        search.trial.must_up()
        before = logins.of_config(search.trial.settings, ("elasticsearch",), {"ELASTICSEARCH_URL": old})
        progress = Progress()
        logins.wait_refused([before], search.trial.kubectl, progress)
        progress.close()
        assert search.uid() == uid
        assert search.ask("Get", "/")[0] == 200
