"""The broker's files: what is declared, who may do what, and what the probe asks for."""

import base64
import hashlib
import json
import re

import pydantic
import pytest

from components import mqtt
from components import mqtt_definitions as known
from components.mqtt_configuration import configuration
from components.site import Site
from settings.app import Consumer
from settings.backing import Mqtt, Queue
from settings.stack import Cluster, Images
from settings.types import Resources
from tests.unit.rendering import SENTINEL, Registered, render
from tests.unit.stacks import UNWATCHED

NAMED = {"identifier": "company"}

HASHES = {"app": "a", "accounts": "b", "monitor": "c"}
FALLS = {"falls": Queue(topics=["lamps/+/fall", "alarms/#"])}


def site(**other):
    cluster = Cluster(identifier="company")
    return Site(
        product="lamp", stack="test", tier="sandbox", namespace="lamp-test", owner="lamp.test", images=Images(), cluster=cluster, **other
    )


def broker(**said):
    return Mqtt.model_validate({"members": 3, "queues": FALLS, **said})


def definitions(queues):
    return json.loads(known.files(queues, HASHES, "secret")["definitions.json"])


# RabbitMQ's own example, https://www.rabbitmq.com/docs/passwords: salt 908D C60A, password test12.
def test_password_hash_is_that_of_rabbitmqs_documentation():
    assert known.password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_password_hash_is_salt_and_digest():
    decoded = base64.b64decode(known.password_hash("lamp", b"abcd"))
    assert decoded == b"abcd" + hashlib.sha256(b"abcdlamp").digest()


def test_a_salt_of_another_length_is_refused():
    with pytest.raises(ValueError, match="4 bytes, not 5"):
        known.password_hash("x", b"abcde")


@pytest.mark.parametrize(
    ("topic", "key"),
    [("lamps/+/fall", "lamps.*.fall"), ("lamps/#", "lamps.#"), ("#", "#"), ("+", "*"), ("/a", ".a")],
)
def test_a_topic_becomes_a_routing_key(topic, key):
    assert known.routing_key(topic) == key


@pytest.mark.parametrize("topic", ["", "lamps.v2/+/fall", "lamps/*/fall"])
def test_a_topic_that_would_mean_something_else_is_refused(topic):
    with pytest.raises(ValueError, match="another meaning"):
        known.routing_key(topic)


@pytest.mark.parametrize("topic", ["lamps.v2/fall", "lamps/*/fall", "lamps/#/fall", "lamps/a+/fall", "lamps/fall#", "$share/a/b", ""])
def test_settings_refuse_what_is_no_filter(topic):
    with pytest.raises(pydantic.ValidationError, match="expected an MQTT filter"):
        Queue(topics=[topic])
    with pytest.raises(pydantic.ValidationError, match="expected an MQTT filter"):
        Consumer(topic=topic)


def test_a_queue_is_a_quorum_queue_that_never_gives_a_message_up():
    [queue] = definitions(known.declared(FALLS))["queues"]
    assert queue["durable"] and not queue["auto_delete"]
    assert queue["arguments"] == {"x-queue-type": "quorum", "x-delivery-limit": -1, "x-single-active-consumer": True}


def test_each_topic_is_bound():
    bindings = definitions(known.declared(FALLS))["bindings"]
    assert [(b["source"], b["destination"], b["routing_key"]) for b in bindings] == [
        ("amq.topic", "falls", "lamps.*.fall"),
        ("amq.topic", "falls", "alarms.#"),
    ]


def test_a_sessions_queue_is_the_one_that_the_plugin_would_make():
    queue = known.declared({}, ("cid", "lamps/+/fall"))[0]
    assert queue.name == "mqtt-subscription-cidqos1"
    assert queue.arguments == {"x-queue-type": "quorum", "x-delivery-limit": -1}


def test_there_is_no_guest():
    assert [user["name"] for user in definitions([])["users"]] == ["app", "accounts", "monitor"]


def test_the_app_reaches_its_queues_and_no_others():
    user = known.app_user("hash", known.declared({"falls": FALLS["falls"], "x-y": FALLS["falls"]}))
    for name in ("falls", "x-y"):
        assert re.search(user.read, name) and re.search(user.configure, name)
    assert re.search(user.write, "amq.topic") and not re.search(user.configure, "amq.topic")
    for name in ("falls2", "my-falls", "amqXtopic", "amq.direct", "mqtt-subscription-cidqos1", ""):
        assert not re.search(user.read, name) and not re.search(user.write, name)


def test_an_app_without_queues_only_publishes():
    user = known.app_user("hash", [])
    assert not re.search(user.configure, "falls")
    assert re.search(user.write, "amq.topic") and not re.search(user.write, "amq.topic2")


def test_only_the_accounts_user_is_an_administrator():
    users = {user["name"]: user["tags"] for user in definitions([])["users"]}
    assert users == {"app": ["stack"], "accounts": ["administrator", "stack"], "monitor": ["monitoring", "stack"]}


def test_the_probe_asks_for_every_queue_and_binding():
    probe = known.probe("monitor", "secret", known.declared(FALLS, ("cid", "a/b")))
    assert re.findall(r'url = "http://127\.0\.0\.1:15672/api/(.*)"', probe) == [
        "queues/%2F/falls",
        "bindings/%2F/e/amq.topic/q/falls/lamps.%2A.fall",
        "bindings/%2F/e/amq.topic/q/falls/alarms.%23",
        "queues/%2F/mqtt-subscription-cidqos1",
        "bindings/%2F/e/amq.topic/q/mqtt-subscription-cidqos1/a.b",
    ]
    # Without it curl's exit code is that of the last request alone.
    assert "\nfail-early\n" in probe and "\nfail\n" in probe


def test_a_broker_without_queues_is_asked_whether_it_lives():
    assert "/api/whoami" in known.probe("monitor", "secret", [])


def test_no_password_is_in_the_config_map():
    assert "secret" not in "".join(configuration(broker(), site()).values()).replace("/run/secrets/", "")


def test_members_know_each_other_by_lasting_names():
    conf = configuration(broker(), site())["rabbitmq.conf"]
    assert re.findall(r"classic_config\.nodes\.\d = (.*)", conf) == [
        f"rabbit@mqtt-{n}.mqtt-members.lamp-test.svc.cluster.local" for n in range(3)
    ]
    assert "target_cluster_size_hint = 3" in conf and "cluster_partition_handling = pause_minority" in conf


def test_a_lone_member_keeps_the_queue_types():
    conf = configuration(broker(members=1), site())["rabbitmq.conf"]
    assert "mqtt.durable_queue_type = quorum" in conf and "cluster_partition_handling = ignore" in conf


def test_every_placeholder_is_filled():
    assert not [name for name, text in configuration(broker(), site()).items() if name.endswith("rabbitmq.conf") and "${" in text]


def test_the_node_name_is_the_one_the_cluster_knows():
    environment = configuration(broker(), site())["rabbitmq-env.conf"]
    assert 'NODENAME="rabbit@${HOSTNAME}.mqtt-members.lamp-test.svc.cluster.local"' in environment


@pytest.mark.parametrize(("memory", "wal"), [("128Mi", 16), ("512Mi", 32), ("1Gi", 64), ("64Gi", 512)])
def test_the_write_ahead_log_fits_the_container(memory, wal):
    conf = configuration(broker(resources=Resources(memory=memory)), site())["rabbitmq.conf"]
    assert f"raft.wal_max_size_bytes = {wal * 2**20}\n" in conf


def test_the_certificate_names_what_devices_dial_first():
    names = mqtt.certificate_names(["mqtt.example.com"], site())
    assert names[0] == "mqtt.example.com"
    assert {"mqtt", "mqtt.lamp-test.svc", "mqtt.lamp-test.svc.cluster.local"} <= set(names)


MQTT_MODE = {
    "tier": "staging",
    "cluster": NAMED,
    **UNWATCHED,
    "consumer": {"mode": "mqtt", "replicas": 1},
    "mqtt": {"queues": {"falls": None}},
}


def rendered(**said) -> dict[tuple[str, str], Registered]:
    base = {"tier": "staging", "cluster": NAMED, **UNWATCHED, "canary": {"where": "cluster"}, "metrics": {"where": "cluster"}, **said}
    return {(one.kind, one.name): one for one in render("staging", base)}


def named(resources, kind, prefix):
    found = [one for (of, name), one in resources.items() if of == kind and re.fullmatch(rf"{prefix}-[0-9a-f]{{10}}", name)]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def plain():
    return rendered()


@pytest.fixture(scope="module")
def in_mqtt_mode():
    return {(one.kind, one.name): one for one in render("staging", MQTT_MODE)}


def test_the_secret_holds_hashes_and_never_the_apps_password(plain):
    content = named(plain, "Secret", "mqtt").inputs["stringData"]
    assert set(content) == {"definitions.json", "probe", "members", "revoked", "cookie"}
    assert SENTINEL not in content["definitions.json"]
    users = {user["name"]: user["password_hash"] for user in json.loads(content["definitions.json"])["users"]}
    assert users["app"] == known.password_hash(f"{SENTINEL}mqtt-app-password", hashlib.sha256(b"mqtt-app-salt").digest()[:4])


def test_a_consumers_session_is_declared_before_it_connects(in_mqtt_mode):
    content = json.loads(named(in_mqtt_mode, "Secret", "mqtt").inputs["stringData"]["definitions.json"])
    client_id = named(in_mqtt_mode, "Secret", "consumer-session").inputs["stringData"]["MQTT_CLIENT_ID"]
    assert [queue["name"] for queue in content["queues"]] == [f"mqtt-subscription-{client_id}qos1"]


def test_a_rotation_gives_new_passwords_and_keeps_the_cookie(plain):
    rotated = rendered(mqtt={"rotation": 2})
    assert named(rotated, "Secret", "mqtt").name == named(plain, "Secret", "mqtt").name
    assert rotated["RandomPassword", "mqtt-app-password-2"].inputs["keepers"] == {"rotation": "2"}
    assert "keepers" not in rotated["RandomPassword", "mqtt-cookie"].inputs


def test_a_rotation_leaves_the_users_alone_that_readers_of_the_release_before_log_in_as(plain):
    rotated = rendered(mqtt={"rotation": 2})

    def users(stack):
        content = named(stack, "Secret", "mqtt").inputs["stringData"]
        probed = re.findall(r'user = "([^:]+):', content["probe"] + content["members"])
        return [user["name"] for user in json.loads(content["definitions.json"])["users"]], probed

    assert users(plain) == (["app", "accounts", "monitor", "canary"], ["monitor", "monitor"])
    assert users(rotated) == (["app-2", "accounts-2", "monitor-2", "canary-2"], ["monitor-2", "monitor-2"])
    config = named(rotated, "Secret", "app-config").inputs["stringData"]
    assert config["AMQP_URL"].startswith("amqp://app-2:")
    assert config["MQTT_MANAGEMENT_URL"].startswith("http://accounts-2:")


def test_users_are_deleted_that_are_revoked_and_those_of_the_generation_before_are_not():
    def revoked(**said):
        return named(rendered(mqtt=said), "Secret", "mqtt").inputs["stringData"]["revoked"].split()

    assert revoked(rotation=2) == []
    assert revoked(rotation=2, revoked=1) == ["app", "accounts", "monitor", "canary"]
    assert revoked(rotation=3) == ["app", "accounts", "monitor", "canary"]
    assert revoked(rotation=3, revoked=2)[4:] == ["app-2", "accounts-2", "monitor-2", "canary-2"]


@pytest.mark.parametrize(("client_ids", "asked"), [("user", True), ("any", False)])
def test_a_device_calls_itself_by_its_user_name_unless_said_otherwise(client_ids, asked):
    said = configuration(broker(client_ids=client_ids), site())["advanced.config"]
    assert ("rabbit_auth_backend_internal, switchyard_client_ids" in said) == asked
    assert said.startswith("[{rabbit, [{auth_backends, [{rabbit_auth_backend_internal, [rabbit_auth_backend_internal")


def test_the_disk_alarm_of_a_volume_fits_one_that_was_made_smaller():
    said = [configuration(broker(volume={"size": size}), site())["rabbitmq.conf"] for size in ("1Gi", "5Gi", "500Gi")]
    limits = [int(re.search(r"disk_free_limit.absolute = (\d+)", text)[1]) for text in said]
    assert limits == [2**30 // 5, 2**30, 2 * 2**30]


def test_another_queue_gives_the_secret_another_name(plain):
    other = rendered(mqtt={"queues": {"doors": {"topics": ["doors/+"]}}})
    assert named(other, "Secret", "mqtt").name != named(plain, "Secret", "mqtt").name


def test_devices_come_in_by_tls_alone(plain):
    spec = plain["Service", "mqtt-public"].inputs["spec"]
    assert [port["port"] for port in spec["ports"]] == [8883]
    assert spec["externalTrafficPolicy"] == "Local" and "loadBalancerSourceRanges" not in spec


def test_devices_may_be_limited_to_ranges():
    limited = rendered(mqtt={"allow_from": ["192.0.2.0/24"], "annotations": {"example.com/lb": "tcp"}})
    service = limited["Service", "mqtt-public"].inputs
    assert service["spec"]["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert service["metadata"]["annotations"] == {"example.com/lb": "tcp"}
    [rule] = limited["NetworkPolicy", "mqtt-devices-in"].inputs["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_the_config_vars_name_the_three_ways_in(plain):
    config = named(plain, "Secret", "app-config").inputs["stringData"]
    assert config["AMQP_URL"] == "amqp://app:generated-secret-mqtt-app-password@mqtt:5672/%2F"
    assert config["MQTT_URL"] == "mqtt://app:generated-secret-mqtt-app-password@mqtt:1883"
    assert config["MQTT_MANAGEMENT_URL"] == "http://accounts:generated-secret-mqtt-accounts-password@mqtt:15672"


def test_a_certificate_is_renewed_a_year_before_its_end(plain):
    signed = plain["LocallySignedCert", "mqtt-tls-certificate"].inputs
    assert (signed["validityPeriodHours"], signed["earlyRenewalHours"]) == (2 * 8760, 8760)
    authority = plain["SelfSignedCert", "authority-certificate"].inputs
    assert authority["isCaCertificate"] and "earlyRenewalHours" not in authority


def test_a_silent_member_is_given_up_within_seconds(plain):
    container, *_ = plain["StatefulSet", "mqtt"].inputs["spec"]["template"]["spec"]["containers"]
    said = {variable["name"]: variable["value"] for variable in container["env"]}
    assert said["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] == "+S 2:2 -kernel net_ticktime 10"


def test_a_paused_member_is_not_restarted(plain):
    container, *_ = plain["StatefulSet", "mqtt"].inputs["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["tcpSocket"]["port"] == 25672
