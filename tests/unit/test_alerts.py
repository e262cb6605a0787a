"""Who is told: what settings may say of receivers, what Alertmanager makes of it, and what it may reach."""

from typing import Any

import pytest
import yaml

from components.alertmanager import DEPENDENTS, configuration, key_files
from settings import SettingsError, resolve
from settings.alerts import Alerts
from tests.unit.alert_rules import alerts
from tests.unit.test_contract import SECRETS, rendered, templates

SAID: dict[str, Any] = {
    "receivers": {
        "on-call": {"pagerduty": {"routing_key": "PAGERDUTY_ROUTING_KEY"}, "webhook": {"url_secret": "ALERTS_WEBHOOK_URL"}},
        "team": {
            "email": {
                "to": ["ops@example.com", "cto@example.com"],
                "sender": "lamp@example.com",
                "host": "smtp.sendgrid.net",
                "user": "apikey",
                "password": "SENDGRID_PASSWORD",
            }
        },
        "inside": {"webhook": {"url": "http://10.1.2.3:8080/alerts"}},
    },
    "critical": ["on-call", "team"],
    "warning": ["team"],
    "watchdog": {"url_secret": "HEARTBEAT_URL"},
}
WEBHOOK = {"webhook": {"url": "https://hooks.example.com/alerts"}}


def refusal(said: dict[str, Any], **stack: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        resolve("alerting", {"tier": "sandbox", "alerts": said, **stack})
    return str(raised.value)


class TestConfiguration:
    def test_a_critical_alert_is_sent_within_seconds_and_a_further_one_of_its_group_too(self) -> None:
        routes = yaml.safe_load(configuration(Alerts.model_validate(SAID)))["route"]["routes"]
        critical = [route for route in routes if 'severity="critical"' in route["matchers"]]
        assert {(route["group_wait"], route["group_interval"]) for route in critical} == {("5s", "30s")}
        assert all(route["continue"] for route in critical), "one that fails holds up no other"

    def test_no_secret_is_in_it_and_each_is_a_file_beside_it(self) -> None:
        made = key_files(Alerts.model_validate(SAID))
        assert made == {
            "on-call.url": "ALERTS_WEBHOOK_URL",
            "on-call.routing-key": "PAGERDUTY_ROUTING_KEY",
            "team.password": "SENDGRID_PASSWORD",
            "watchdog.url": "HEARTBEAT_URL",
        }
        text = configuration(Alerts.model_validate(SAID))
        assert all(f"/etc/alertmanager/{name}" in text for name in made)
        assert not any(secret in text for secret in made.values())

    def test_what_holds_back_others_and_what_is_held_back_are_alerts_that_there_are(self) -> None:
        known = {one.name for one in alerts()}
        assert {*DEPENDENTS, *(name for names in DEPENDENTS.values() for name in names)} <= known

    def test_warnings_wait_behind_a_critical_alert_of_the_same_component(self) -> None:
        first = yaml.safe_load(configuration(Alerts()))["inhibit_rules"][0]
        assert first["equal"] == ["namespace", "component"]
        assert (first["source_matchers"], first["target_matchers"]) == (['severity="critical"'], ['severity="warning"'])


class TestTheStack:
    def test_it_reaches_its_receivers_and_nothing_else(self) -> None:
        stack = rendered("everything")
        [pod] = [one for one in templates(stack) if one.component == "alertmanager"]
        network = stack.network
        assert network.lets_out(pod.labels, "93.184.216.34", 443) and network.lets_out(pod.labels, "93.184.216.34", 587)
        assert network.lets_out(pod.labels, "10.1.2.3", 8080)
        assert not network.lets_out(pod.labels, "10.1.2.3", 443) and not network.lets_out(pod.labels, "10.1.2.4", 8080)
        assert not network.lets_out(pod.labels, "93.184.216.34", 22)

    def test_prometheus_hands_it_alerts_grafana_shows_them_and_nobody_else_reaches_it(self) -> None:
        stack = rendered("everything")
        pods = {pod.component: pod.labels for pod in templates(stack)}
        reach = {name for name, labels in pods.items() if stack.network.connects(labels, pods["alertmanager"], 9093)}
        assert reach == {"prometheus", "grafana"}

    def test_its_configuration_is_a_secret_with_the_keys_as_files(self) -> None:
        [made] = [one for one in rendered("everything").of("Secret") if (one.kube_name or "").startswith("alertmanager-")]
        assert made.inputs["stringData"]["on-call.routing-key"] == SECRETS["PAGERDUTY_ROUTING_KEY"]
        assert made.inputs["stringData"]["watchdog.url"] == SECRETS["HEARTBEAT_URL"]

    def test_runbooks_become_addresses_where_settings_say_where_they_are_read(self) -> None:
        from components.prometheus_configuration import files
        from components.watch import Watch

        made = files(Watch(rules=("web",)), {"namespace": "n"}, alertmanager=None, kubelet=False, runbooks="https://git.example.com/lamp/")
        assert "runbook: https://git.example.com/lamp/docs/runbooks/WebDown.md" in made["alerts-web.yml"]

    def test_production_does_not_come_up_when_nobody_is_told(self) -> None:
        said = {"tier": "production", "cluster": {"identifier": "company", "context": "company"}, "metrics": {"where": "cluster"}}
        settings = resolve("production", said)
        [lack] = [text for text in settings.lacks(settings.cures("production"), ()) if "alerts.critical" in text]
        assert "Pulumi.production.yaml" in lack and "config set --secret ALERTS_WEBHOOK_URL" in lack
        told = resolve("production", said | {"alerts": {"receivers": {"team": WEBHOOK}, "critical": ["team"]}})
        assert not any("alerts.critical" in text for text in told.lacks(told.cures("production"), ()))

    def test_its_secrets_are_asked_for_only_where_it_runs(self) -> None:
        on = resolve("a", {"tier": "sandbox", "alerts": SAID, "metrics": {"where": "cluster"}})
        off = resolve("a", {"tier": "sandbox", "alerts": SAID, "metrics": {"where": "none"}, "canary": {"where": "none"}})
        assert "HEARTBEAT_URL" in on.secret_names() and "HEARTBEAT_URL" not in off.secret_names()
        assert "HEARTBEAT_URL" in off.known_secrets(), "what is written down may stay set"


class TestRefusals:
    def test_a_receiver_without_an_address(self) -> None:
        assert "alerts.receivers.team: a receiver without an address" in refusal({"receivers": {"team": {}}})
        assert "alerts.receivers.team.webhook: without an address" in refusal({"receivers": {"team": {"webhook": {}}}})

    def test_a_route_to_nobody(self) -> None:
        text = refusal({"receivers": {"team": WEBHOOK}, "critical": ["team", "taem"]})
        assert "alerts.critical.1: 'taem'" in text and "no such receiver under alerts.receivers (team)" in text

    @pytest.mark.parametrize("url", ["hooks.example.com/x", "ftp://hooks.example.com", "https://", "https://a b/", "https://host:port/x"])
    def test_a_url_that_is_none(self, url: str) -> None:
        assert "alerts.receivers.team.webhook.url" in refusal({"receivers": {"team": {"webhook": {"url": url}}}})

    @pytest.mark.parametrize(
        "url",
        [
            "https://me:hunter2@hooks.example.com/x",
            "https://hooks.slack.com/services/T0000/B0000/abcdEFGH1234ijklMNOP5678",
            "https://hc-ping.com/12345678-9abc-def0-1234-56789abcdef0",
            "https://hooks.example.com/x?token=abcdEFGH1234ijklMNOP5678",
        ],
    )
    def test_a_url_that_is_a_secret_in_clear_and_it_is_not_repeated(self, url: str) -> None:
        text = refusal({"receivers": {"team": {"webhook": {"url": url}}}})
        assert "in clear" in text and "url_secret" in text
        assert "hunter2" not in text and "5678" not in text

    def test_a_key_where_the_name_of_a_secret_belongs(self) -> None:
        text = refusal({"receivers": {"team": {"pagerduty": {"routing_key": "e93facc04764012d7bfb002500d5d1a6"}}}})
        assert "a key in clear" in text and "e93facc" not in text

    def test_an_address_said_twice(self) -> None:
        text = refusal({"watchdog": {"url": "https://hooks.example.com/x", "url_secret": "HEARTBEAT_URL"}})
        assert "alerts.watchdog: url and url_secret both say the address" in text

    def test_a_mail_account_without_its_password(self) -> None:
        mail = {"to": ["a@example.com"], "sender": "b@example.com", "host": "mail.example.com", "user": "apikey"}
        assert "expected both user and password" in refusal({"receivers": {"team": {"email": mail}}})

    def test_a_mail_address_that_is_none(self) -> None:
        mail = {"to": ["ops"], "sender": "b@example.com", "host": "mail.example.com"}
        assert "expected an address such as ops@example.com" in refusal({"receivers": {"team": {"email": mail}}})

    def test_silence_that_nobody_could_notice(self) -> None:
        quiet = {"mqtt": {"where": "none"}, "consumer": {"where": "none"}, "canary": {"where": "none"}}
        with pytest.raises(
            SettingsError, match=r"alerts\.expected_messages: 5: are counted by the stack's own broker, and mqtt\.where is none"
        ):
            resolve("x", {"tier": "staging", "cluster": {"identifier": "c"}, **quiet, "alerts": {"expected_messages": 5}})

    def test_somebody_to_wake_where_nothing_is_measured(self) -> None:
        alerts = {"receivers": {"team": WEBHOOK}, "critical": ["team"]}
        said: dict[str, Any] = {"cluster": {"identifier": "c"}, "metrics": {"where": "none"}, "canary": {"where": "none"}, "alerts": alerts}
        with pytest.raises(SettingsError, match=r"alerts\.critical: would never be told anything: metrics\.where is none"):
            resolve("x", {"tier": "production", **said})
        assert resolve("x", {"tier": "staging", **said})

    def test_a_name_that_every_stack_has(self) -> None:
        assert "the name is taken by Switchyard itself" in refusal({"receivers": {"watchdog": WEBHOOK}})
