"""The canary: what it is refused, what it is given, and how it keeps account of its falls."""

import importlib.util
import json
import sys
from typing import Any

import pytest

from settings import SettingsError, resolve
from settings.canary import matches
from settings.loader import ROOT
from tests.unit.rendering import Registered, render
from tests.unit.test_contract import EXTERNAL, NAMED

STAGING: dict[str, Any] = {"tier": "staging", "cluster": NAMED}


def load_falls() -> Any:
    spec = importlib.util.spec_from_file_location("falls", ROOT / "components/files/canary/falls.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["falls"] = module
    spec.loader.exec_module(module)
    return module


falls = load_falls()


def made(said: dict[str, Any], secrets: dict[str, str] | None = None) -> dict[str, Registered]:
    return {
        f"{one.kind} {one.name.rsplit('-', 1)[0] if one.kind in ('ConfigMap', 'Secret') else one.name}": one
        for one in render("x", said, secrets)
    }


class TestRefusals:
    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            (
                {"late": "60s"},
                "canary.late: '60s': expected less than canary.every: 60 s is not less than 60 s, so the next fall would come",
            ),
            ({"late": "2m"}, "canary.late: '2m': expected less than canary.every: 120 s is not less than 60 s"),
            ({"topic": "lamps/+/fall"}, "canary.topic: 'lamps/+/fall': expected a topic without '+' and '#'"),
            ({"topic": "lamps.canary"}, "canary.topic: 'lamps.canary': '.' and '*' have another meaning in RabbitMQ"),
            (
                {"topic": "lamps/canary/battery"},
                "canary.topic: 'lamps/canary/battery': nobody would read it: the consumer reads lamps/+/fall",
            ),
            ({"topic": "lamps/\x00/fall"}, "canary.topic: 'lamps/\\x00/fall': expected a topic without control characters"),
            ({"payload": "{}"}, "canary.payload: '{}': expected {id} in it"),
            ({"path": "/alerts"}, "canary.path: '/alerts': expected {id} in it"),
            ({"path": "/falls/{id} now"}, "canary.path: '/falls/{id} now': expected a path as it stands in an address"),
            ({"web": "wbe"}, "canary.web: 'wbe': there is no web.wbe; under web there is web"),
            ({"token": "API"}, "canary.token: is no secret of the app"),
            ({"password": "PASS"}, "canary.password: is for an external broker"),
            ({"user": "somebody"}, "canary.user: is for an external broker"),
        ],
    )
    def test_what_would_never_be_heard_or_never_be_late_is_refused(self, said: dict[str, Any], sentence: str) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", STAGING | {"canary": said})
        assert [problem for problem in caught.value.problems if sentence in problem] == caught.value.problems

    def test_it_needs_a_broker_and_a_consumer(self) -> None:
        for service in ("mqtt", "consumer"):
            with pytest.raises(SettingsError) as caught:
                resolve("x", STAGING | {service: {"where": "none"}})
            assert any(f"but {service}.where is none: say canary: {{where: none}}" in problem for problem in caught.value.problems)

    def test_it_needs_somebody_who_is_told(self) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", STAGING | {"metrics": {"where": "none"}, "grafana": {"where": "none"}})
        [sentence] = caught.value.problems
        assert sentence.endswith(
            ": canary.where: 'cluster': would tell nobody what it finds, because metrics.where is none: "
            "say canary: {where: none}, or metrics: {where: cluster}"
        )

    def test_an_external_broker_asks_for_an_account_of_the_canarys_own(self) -> None:
        with pytest.raises(SettingsError, match=r"canary\.password: needs the account"):
            resolve("x", STAGING | EXTERNAL | {"canary": {}})
        assert "CANARY_PASSWORD" in resolve("x", STAGING | EXTERNAL).secret_names()

    def test_without_it_nothing_of_it_is_made_or_asked_for(self) -> None:
        off = STAGING | {"canary": {"where": "none", "late": "2h", "password": "PASS"}}
        assert not [name for name in made(off) if "canary" in name and "token" not in name]
        settings = resolve("x", off)
        assert "PASS" not in settings.secret_names() and "PASS" in settings.known_secrets()
        assert "canary" not in {part.component for part in settings.footprint()}

    @pytest.mark.parametrize(
        ("wanted", "topic", "taken"),
        [
            ("lamps/+/fall", "lamps/canary/fall", True),
            ("lamps/#", "lamps/canary/fall", True),
            ("lamps/#", "lamps", True),
            ("#", "lamps/canary/fall", True),
            ("lamps/+", "lamps/canary/fall", False),
            ("lamps/+/+", "lamps/canary/fall", True),
            ("lamps/canary/fall/#", "lamps/canary/fall", True),
            ("lamps/lamp-1/fall", "lamps/canary/fall", False),
        ],
    )
    def test_filters_take_topics_as_mqtt_says(self, wanted: str, topic: str, taken: bool) -> None:
        assert matches(wanted, topic) is taken


class TestWhatIsMade:
    def test_its_account_may_publish_to_its_topic_and_nothing_else(self) -> None:
        [content] = [
            one.inputs["stringData"]["definitions.json"]
            for one in render("x", STAGING)
            if one.kind == "Secret" and "definitions.json" in one.inputs["stringData"]
        ]
        known = json.loads(content)
        [permission] = [one for one in known["permissions"] if one["user"] == "canary"]
        assert (permission["configure"], permission["write"], permission["read"]) == ("^$", r"^amq\.topic$", "^$")
        assert known["topic_permissions"] == [
            {"user": "canary", "vhost": "/", "exchange": "amq.topic", "write": r"^lamps\.canary\.fall$", "read": "^$"}
        ]

    def test_it_verifies_the_name_that_it_dials_and_reads_its_secrets_from_files(self) -> None:
        found = made(STAGING)
        said = json.loads(found["ConfigMap canary"].inputs["data"]["canary.json"])
        assert (said["host"], said["port"], said["tls"], said["ca_file"]) == ("mqtt", 8883, "verify-full", "/etc/canary-ca/ca.pem")
        pod = found["Deployment canary"].inputs["spec"]["template"]["spec"]
        assert "envFrom" not in pod["containers"][0] and [one["name"] for one in pod["containers"][0]["env"]] == ["PYTHONDONTWRITEBYTECODE"]
        [token] = [volume["secret"]["items"] for volume in pod["volumes"] if volume["name"] == "token"]
        assert token == [{"key": "CANARY_TOKEN", "path": "token"}], "no other of the app's secrets"

    def test_a_public_name_is_dialled_instead_and_verified(self) -> None:
        found = made(STAGING | {"canary": {"host": "mqtt.example.com"}})
        assert json.loads(found["ConfigMap canary"].inputs["data"]["canary.json"])["host"] == "mqtt.example.com"
        assert "NetworkPolicy canary-public" in found

    def test_an_external_broker_is_spoken_to_as_its_settings_say_with_the_canarys_account(self) -> None:
        secrets = {name: name.lower() for name in resolve("x", STAGING | EXTERNAL).secret_names()}
        found = made(STAGING | EXTERNAL, secrets)
        said = json.loads(found["ConfigMap canary"].inputs["data"]["canary.json"])
        assert (said["host"], said["user"], said["tls"]) == ("mqtt.example.com", "canary", "verify-ca")
        assert found["Secret canary"].inputs["stringData"] == {"password": "canary_password"}


class TestFalls:
    def test_each_fall_is_late_once(self) -> None:
        book = falls.Falls()
        fall = falls.Fall(id="a", due=100, sent=100)
        book.add(fall)
        assert [book.become_late(now, 10) for now in (110, 110.1, 120)] == [[], [fall], []]
        assert book.outstanding(125) == 25

    def test_a_fall_that_could_not_be_sent_is_late_as_well_and_not_asked_for(self) -> None:
        book = falls.Falls()
        book.add(falls.Fall(id="a", due=100))
        assert book.to_ask(0) == [] and len(book.become_late(200, 10)) == 1

    def test_a_later_alert_shows_that_the_way_is_open_again(self) -> None:
        book = falls.Falls()
        for number in range(3):
            book.add(falls.Fall(id=str(number), due=number, sent=number))
        book.seen(book.pending[1])
        assert [one.id for one in book.pending] == ["2"]
        book.seen(book.pending[0])
        assert book.outstanding(1000) == 0

    def test_an_outage_of_hours_is_not_asked_for_fall_by_fall(self) -> None:
        book = falls.Falls()
        for number in range(500):
            book.add(falls.Fall(id=str(number), due=number, sent=number))
        assert [len(book.to_ask(turn)) for turn in (0, 1, 9, 10)] == [5, 1, 1, 5]

    def test_braces_of_a_payload_stay(self) -> None:
        assert falls.filled('{"id": "{id}", "at": "{time}", "x": {}}', "i", "t") == '{"id": "i", "at": "t", "x": {}}'
