"""The canary and the search index, on a stack that is up: alarms are timed, late ones are noticed, and search is in nobody's way."""

import re
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bench.load import Lamp, wait_until
from cli.demo import SERIAL
from tests.cluster.trial import CANARY_LATE_SECONDS, Trial

PATIENCE_SECONDS = 60
METRICS = "import sys, urllib.request as r; print(r.urlopen(f'http://127.0.0.1:{sys.argv[1]}/metrics').read().decode())"
RUBY_METRICS = "require 'net/http'; puts Net::HTTP.get(URI('http://127.0.0.1:9394/metrics'))"
SEARCH = """
require "net/http"
request = Net::HTTP::Get.new("/admin/search?q=#{ARGV[0]}", "Host" => "localhost", "X-Forwarded-Proto" => "https")
request.basic_auth("admin", ENV.fetch("ADMIN_PASSWORD"))
answer = Net::HTTP.start("127.0.0.1", Integer(ENV.fetch("PORT"))) { |http| http.request(request) }
puts answer.code, answer.body[/id="(?:found|trouble)"[^>]*>([^<]*)/, 1]
"""
STRANGE = """
import json, sys
sys.path.insert(0, "/etc/canary"); sys.argv = ["canary.py", "/etc/canary/canary.json"]
import canary
said = json.load(open("/etc/canary/canary.json")) | {"topic": "lamps/lamp-1/fall"}
try:
    canary.Canary(said).publish(canary.Fall(id="strange-fall-of-another-lamp", due=0))
    print("published")
except canary.NotSentError as error:
    print(error.args[0])
"""


@dataclass
class Measured:
    """A stack whose alarms are timed."""

    trial: Trial

    def run(self, *words: str) -> str:
        done = subprocess.run(self.trial.kubectl.argv(*words), capture_output=True, text=True, timeout=90, check=False)
        return done.stdout if done.returncode == 0 else f"{done.stdout}{done.stderr}"

    def canary(self, series: str) -> float:
        return value(self.run("exec", "deployment/canary", "--", "python3", "-c", METRICS, "9394"), series)

    def indexer(self, series: str) -> float:
        return value(self.run("exec", "deployment/indexer", "-c", "app", "--", "ruby", "-e", RUBY_METRICS), series)

    def search(self, words: str) -> list[str]:
        return self.run("exec", "deployment/web", "-c", "app", "--", "ruby", "-e", SEARCH, words).splitlines()

    def falls(self) -> str:
        installation = self.trial.installation
        lamp = Lamp(installation.broker, SERIAL, installation.demo.passwords["DEMO_LAMP_PASSWORD"])
        event = str(uuid.uuid4())
        try:
            wait_until(lambda: lamp.connected, 20, lambda: "the lamp can not connect")
            lamp.fall(event).wait_for_publish(10)
        finally:
            lamp.close()
        return event

    def scaled(self, what: str, replicas: int) -> None:
        self.run("scale", what, f"--replicas={replicas}")

    def eventually(self, done: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        wait_until(done, seconds, lambda: self.run("logs", "deployment/canary", "--tail=20") + self.run("get", "pods"))


def value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


@pytest.fixture(scope="module")
def measured(watched: Trial) -> Measured:
    return Measured(watched)


def test_a_fall_is_measured_from_the_tls_port_to_its_alert(measured: Measured) -> None:
    measured.eventually(lambda: measured.canary("canary_alert_latency_seconds_count") >= 2)
    assert measured.canary("canary_last_alert_latency_seconds") < CANARY_LATE_SECONDS
    assert measured.canary("canary_published_total") >= 2


def test_its_account_may_publish_to_no_other_topic(measured: Measured) -> None:
    said = measured.run("exec", "deployment/canary", "--", "python3", "-c", STRANGE)
    assert said.strip() == "acknowledge", said


def test_a_search_finds_an_event_and_nothing_of_the_canary(measured: Measured) -> None:
    event = measured.falls()
    measured.eventually(lambda: measured.search(event) == ["200", "1 found"])
    assert measured.search("canary") == ["200", "0 found"]


def test_without_a_consumer_the_canary_is_late_and_then_no_longer(measured: Measured) -> None:
    measured.scaled("deployment/consumer", 0)
    measured.eventually(lambda: measured.canary("canary_outstanding_seconds") > CANARY_LATE_SECONDS)
    assert measured.canary('canary_failures_total{stage="alert"}') >= 1
    measured.scaled("deployment/consumer", 1)
    measured.eventually(lambda: measured.canary("canary_outstanding_seconds") < CANARY_LATE_SECONDS)


@pytest.mark.long
def test_indexing_that_is_away_delays_no_alert_and_is_made_up_for(measured: Measured) -> None:
    measured.scaled("statefulset/elasticsearch", 0)
    measured.eventually(lambda: measured.search("x")[:1] == ["503"])
    before, late = (measured.canary(one) for one in ("canary_alert_latency_seconds_count", 'canary_failures_total{stage="alert"}'))
    event = measured.falls()
    measured.eventually(lambda: measured.indexer("app_index_lag_seconds") > 5)
    measured.eventually(lambda: measured.canary("canary_alert_latency_seconds_count") >= before + 2)
    assert measured.canary('canary_failures_total{stage="alert"}') == late
    assert measured.search("x") == ["503", "The search engine is away. Alerts do not need it."]
    measured.scaled("statefulset/elasticsearch", 1)
    measured.eventually(lambda: measured.search(event) == ["200", "1 found"], 120)
