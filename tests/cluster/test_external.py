"""A product whose backing services all run outside the cluster: verified, reached by their addresses alone, and taken back by one word."""

import base64
import json
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from bench.load import Alerts, Api, wait_until
from cli import images as cli_images
from cli.kubectl import Kubectl
from cli.sandbox import Started
from sandbox import network
from tests.cluster.certificates import Authority
from tests.cluster.servers import DATABASE, IMAGES, LAMP, PORTS, Servers, serving
from tests.cluster.trial import Trial, overlay
from tests.engine.project import Project
from tools.progress import Progress

STACK = "external-test"
PATIENCE_SECONDS = 60
SEARCH = """
require "net/http"
require "json"
uri = URI(ENV.fetch("ELASTICSEARCH_URL"))
options = { use_ssl: uri.scheme == "https", ca_file: ENV["ELASTICSEARCH_CA_FILE"], open_timeout: 5 }
Net::HTTP.start(uri.host, uri.port, **options) do |http|
  ask = lambda do |request|
    request.basic_auth(URI.decode_www_form_component(uri.user), URI.decode_www_form_component(uri.password))
    http.request(request)
  end
  put = Net::HTTP::Put.new("/falls/_doc/1?refresh=true", "content-type" => "application/json")
  put.body = JSON.generate(lamp: "lamp-1")
  puts ask.call(put).code, ask.call(Net::HTTP::Get.new("/falls/_search?q=lamp:lamp")).body
end
"""
DIAL = """
require "socket"
begin
  Socket.tcp(ARGV[0], Integer(ARGV[1]), connect_timeout: 4).close
  puts "reached"
rescue SystemCallError, IO::TimeoutError => error
  puts "blocked: #{error.class}"
end
"""


@dataclass
class Outsourced:
    """A stack of the demo product, and the servers that it uses."""

    trial: Trial
    servers: Servers
    other: Authority
    """An authority that signed none of the servers' certificates."""
    secrets: Mapping[str, Any]

    @property
    def kubectl(self) -> Kubectl:
        return self.trial.kubectl

    def say(self, said: Mapping[str, Any] | None = None) -> None:
        """Say that everything is external, and `said` over it."""
        self.trial.say(overlay(overlay(settings(self.servers), self.secrets), said or {}))

    def config(self) -> dict[str, str]:
        return self.kubectl.secret(str(self.trial.outputs()["config_secret"]))

    def alerted(self, event: str) -> bool:
        """Whether the mobile API knows an alert of the event."""
        alerts = Alerts(Api(str(self.trial.outputs()["urls"]["web"]), self.config()["DEMO_API_TOKEN"]))
        try:
            return bool(alerts.page(event=event))
        finally:
            alerts.close()

    def falls(self) -> str:
        """Let the lamp fall at the external broker, and return the event's id."""
        event = str(uuid.uuid4())
        publish(self.servers, json.dumps({"id": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}))
        return event

    def told(self) -> None:
        """Let the lamp fall, and wait until somebody is told of it."""
        event = self.falls()
        wait_until(lambda: self.alerted(event), PATIENCE_SECONDS, lambda: f"no alert of {event}:\n{self.logs('consumer')}")

    def logs(self, component: str) -> str:
        return self.run("logs", "--selector", f"app.kubernetes.io/component={component}", "--tail", "40", "--all-containers")

    def run(self, *words: str) -> str:
        done = subprocess.run(self.kubectl.argv(*words), capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr

    def in_web(self, *argv: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command in a web pod, in the environment that the pod has, and return all it says."""
        changed = [f"{key}={value}" for key, value in (env or {}).items()]
        return self.run("exec", "deployment/web", "--container", "app", "--", "env", *changed, *argv)

    def dials(self, image: str) -> str:
        return self.in_web("ruby", "-e", DIAL, self.servers.place.address, str(PORTS[image])).strip()


@pytest.fixture(scope="module")
def outsourced(started: Started, make_checkout: Callable[[], Project], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outsourced]:
    """The demo product, up, with every backing service outside the cluster."""
    folder = tmp_path_factory.mktemp("servers")
    progress = Progress()
    _, built = cli_images.build_all(IMAGES, progress)
    progress.close()
    authority = Authority(folder / "authority")
    with network.outside("external") as place, serving(built, folder / "roots", place, authority) as servers:
        trial = Trial(STACK, make_checkout(), started)
        made = Outsourced(trial, servers, Authority(folder / "stranger"), encrypted(trial, servers))
        try:
            made.say()
            trial.must_up()
            yield made
        finally:
            gone = trial.destroy()
        assert gone.code == 0, gone.text


def encrypted(trial: Trial, servers: Servers) -> dict[str, Any]:
    """Set the servers' passwords as a person would, and return them as the stack's file has them then."""
    names = {f"{image.upper()}_PASSWORD": servers.passwords[image] for image in IMAGES}
    for name, password in names.items():
        trial.project.ok("config", "set", "--secret", name, "--stack", trial.name, given=password)
    config = read_config(trial)
    return {name: config[f"switchyard:{name}"] for name in names}


def read_config(trial: Trial) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(trial.file.read_text())["config"]


def settings(servers: Servers) -> dict[str, Any]:
    """Return settings that say `where: external` of everything."""

    def external(image: str, **more: Any) -> dict[str, Any]:
        return {"where": "external", "external": servers.said(image, **more)}

    return {
        "postgres": external("postgres", database=DATABASE, version="17"),
        "redis": {"jobs": external("valkey")},
        "mqtt": external("rabbitmq"),
        "elasticsearch": external("elasticsearch", version="8.19.21"),
        "consumer": {"mode": "mqtt", "replicas": 1},
        "canary": {"where": "none"},
    }


def publish(servers: Servers, payload: str) -> None:
    """Publish as the lamp does, and wait for the acknowledgement."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=LAMP)
    client.username_pw_set(LAMP, servers.passwords[LAMP])
    cast("Any", client).tls_set_context(ssl.create_default_context(cadata=servers.authority))
    client.connect(servers.place.address, PORTS["rabbitmq"])
    client.loop_start()
    try:
        message = client.publish(f"lamps/{LAMP}/fall", payload, qos=1)
        message.wait_for_publish(10)
        assert message.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


class TestEverythingOutside:
    def test_the_stack_runs_no_server_of_its_own(self, outsourced: Outsourced) -> None:
        assert outsourced.run("get", "statefulsets,persistentvolumeclaims", "--output", "name") == ""

    def test_the_release_migrated_the_external_database_over_a_verified_line(self, outsourced: Outsourced) -> None:
        assert outsourced.config()["DATABASE_URL"].endswith("?sslmode=verify-full&sslrootcert=/etc/switchyard/ca/postgres.pem")
        question = "select (select count(*) from schema_migrations) > 0, bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)"
        question += " where usename = 'app'"
        assert outsourced.servers.run("postgres", "psql", "-h", "/tmp", "-U", "postgres", "-Atc", question, DATABASE).strip() == "t|t"

    def test_a_fall_at_the_external_broker_ends_as_an_alert(self, outsourced: Outsourced) -> None:
        outsourced.told()

    def test_jobs_go_through_the_external_redis(self, outsourced: Outsourced) -> None:
        before = outsourced.servers.jobs_processed()
        outsourced.told()
        wait_until(lambda: outsourced.servers.jobs_processed() > before, 20, lambda: outsourced.logs("sidekiq-alerts"))

    def test_a_fall_while_the_consumer_is_away_waits_in_its_session(self, outsourced: Outsourced) -> None:
        outsourced.run("scale", "deployment/consumer", "--replicas=0")
        wait_until(lambda: "consumer" not in outsourced.run("get", "pods", "--output", "name"), 40, lambda: "the consumer is still there")
        event = outsourced.falls()
        time.sleep(2)
        assert not outsourced.alerted(event)
        outsourced.run("scale", "deployment/consumer", "--replicas=1")
        wait_until(lambda: outsourced.alerted(event), PATIENCE_SECONDS, lambda: outsourced.logs("consumer"))

    def test_the_app_indexes_and_searches_with_what_its_config_vars_say(self, outsourced: Outsourced) -> None:
        said = outsourced.in_web("ruby", "-e", SEARCH).splitlines()
        assert said[0] in ("200", "201"), said
        assert json.loads(said[1])["hits"]["total"]["value"] == 1

    @pytest.mark.parametrize(
        ("var", "code"),
        [
            ("REDIS_CA_FILE", "Sidekiq.redis { |redis| puts redis.call('PING') }"),
            ("MQTT_CA_FILE", "MqttLink.new(url: ENV['MQTT_URL'], topic: 'x', client_id: 'stranger').open; puts 'PONG'"),
        ],
    )
    def test_a_server_is_refused_by_an_app_that_trusts_another_authority(self, outsourced: Outsourced, var: str, code: str) -> None:
        assert "PONG" in outsourced.in_web("bin/rails", "runner", code)
        said = outsourced.in_web("bin/rails", "runner", code, env={var: "/etc/ssl/certs/ca-certificates.crt"})
        assert "PONG" not in said and "certificate verify failed" in said

    def test_no_password_is_readable_in_the_state_or_in_objects_that_are_no_secrets(self, outsourced: Outsourced) -> None:
        exported = outsourced.trial.project.ok("stack", "export", "--stack", STACK)
        objects = outsourced.run("get", "pods,deployments,jobs,configmaps,networkpolicies", "--output", "json")
        hidden = [outsourced.servers.passwords[image] for image in IMAGES]
        assert [word[:2] for word in hidden for place in (exported, objects) if word in place or encoded(word) in place] == []

    def test_a_second_preview_finds_nothing_to_change(self, outsourced: Outsourced) -> None:
        result = outsourced.trial.has_no_changes()
        assert result.code == 0, result.text


class TestChanges:
    """In this order: each begins with everything outside and working."""

    @pytest.mark.long
    def test_a_server_that_another_authority_signed_stops_the_release_and_the_old_pods_go_on(self, outsourced: Outsourced) -> None:
        outsourced.say({"postgres": {"external": {"ca": outsourced.other.certificate}}})
        result = outsourced.trial.up()
        assert result.code != 0
        # The pods of the release before are still there, and may have waited for their policies.
        said = [line for line in outsourced.logs("release").splitlines() if "certificate verify failed" in line]
        assert said, result.text
        assert not [line for line in said if "release waits" in line], "a wrong certificate is not waited out"
        outsourced.told()

    def test_one_word_takes_the_database_back_and_ranges_hold_packets_back(self, outsourced: Outsourced) -> None:
        assert outsourced.dials("elasticsearch") == outsourced.dials("postgres") == "reached"
        # By name, because an address outside its ranges is refused before anything changes.
        elsewhere = {"host": "search.example.com", "ranges": ["192.0.2.0/24"]}
        outsourced.say({"postgres": {"where": "cluster"}, "elasticsearch": {"external": elsewhere}})
        outsourced.trial.must_up()
        outsourced.told()
        assert "postgresql://" in (url := outsourced.config()["DATABASE_URL"]) and "@postgres:5432/" in url
        assert outsourced.dials("valkey") == "reached"
        assert outsourced.dials("elasticsearch").startswith("blocked"), "outside elasticsearch.external.ranges"
        assert outsourced.dials("postgres").startswith("blocked"), "no longer a backing service"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
