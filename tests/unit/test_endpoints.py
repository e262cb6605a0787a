"""Endpoints: the config vars of a backing service, whoever runs it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.endpoints import (
    AUTHORITIES,
    ConfigVars,
    Endpoint,
    authorities,
    elasticsearch_vars,
    postgres_vars,
    redis_vars,
)
from components.mqtt import MqttEndpoint
from components.site import Secrets
from settings import SettingsError, resolve
from settings.backing import External, Mqtt, Redis
from settings.stack import Settings

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
STACK: dict[str, Any] = {"tier": "staging", "cluster": {"identifier": "company"}}


def external(**said: Any) -> External:
    return External.model_validate({"host": "db.example.com", "port": 5432, "user": "u", "password": "PASSWORD", "database": "d"} | said)


def endpoint(**said: Any) -> Endpoint:
    return Endpoint.external("postgres", external(**said), secrets())


def secrets() -> Secrets:
    return Secrets({"PASSWORD": pulumi.Output.from_input("p/w")}, {"PASSWORD": "1"})


def read(make: Callable[[], ConfigVars]) -> dict[str, str]:
    """Make config vars inside a loop, as outputs want it, and return their values."""

    async def known() -> dict[str, str]:
        return {name: str(await value.future()) for name, value in make().items()}

    return asyncio.run(known())


class TestPostgres:
    @pytest.mark.parametrize("mode", ["disable", "require"])
    def test_the_url_carries_a_mode_that_verifies_nothing(self, mode: str) -> None:
        said = read(lambda: postgres_vars(endpoint(tls=mode), "DATABASE_URL"))
        assert said["DATABASE_URL"] == f"postgresql://u:p%2Fw@db.example.com:5432/d?sslmode={mode}"
        assert "DATABASE_CA_FILE" not in said

    def test_an_address_of_ipv6_stands_in_brackets(self) -> None:
        said = read(lambda: postgres_vars(endpoint(host="fd00::5"), "DATABASE_URL"))
        assert "@[fd00::5]:5432/d" in said["DATABASE_URL"]

    @pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
    def test_the_url_names_the_file_of_the_authority(self, mode: str) -> None:
        said = read(lambda: postgres_vars(endpoint(tls=mode, ca=CA), "DATABASE_URL"))
        file = f"{AUTHORITIES}/postgres.pem"
        assert said["DATABASE_URL"].endswith(f"/d?sslmode={mode}&sslrootcert={file}")
        assert (said["DATABASE_TLS"], said["DATABASE_CA_FILE"]) == (mode, file)

    def test_without_an_authority_of_its_own_the_images_store_is_trusted(self) -> None:
        said = read(lambda: postgres_vars(endpoint(tls="verify-full"), "DATABASE_URL"))
        assert said["DATABASE_URL"].endswith("?sslmode=verify-full&sslrootcert=system")
        assert "DATABASE_CA_FILE" not in said

    def test_the_stacks_own_server_adds_no_config_vars(self) -> None:
        own = Endpoint(service="postgres", host="postgres", port=5432, database="d", tls="prefer")
        said = read(lambda: postgres_vars(own, "DATABASE_URL"))
        assert said == {"DATABASE_URL": "postgresql://postgres:5432/d?sslmode=prefer"}


class TestOthers:
    def test_redis_in_clear_needs_nothing_beside_its_url(self) -> None:
        said = read(lambda: redis_vars(endpoint(tls="disable", database="2", user=""), "REDIS_URL"))
        assert said == {"REDIS_URL": "redis://:p%2Fw@db.example.com:5432/2"}

    def test_redis_says_the_mode_and_the_file_beside_its_url(self) -> None:
        said = read(lambda: redis_vars(endpoint(tls="verify-full", ca=CA, database=""), "CACHE_URL"))
        assert said == {
            "CACHE_URL": "rediss://u:p%2Fw@db.example.com:5432/0",
            "CACHE_TLS": "verify-full",
            "CACHE_CA_FILE": f"{AUTHORITIES}/postgres.pem",
        }

    def test_redis_that_is_only_encrypted_says_so(self) -> None:
        assert read(lambda: redis_vars(endpoint(), "REDIS_URL"))["REDIS_TLS"] == "require"

    def test_elasticsearch_is_https_unless_said_otherwise(self) -> None:
        said = read(lambda: elasticsearch_vars(endpoint(database=""), "ELASTICSEARCH_URL"))
        assert said["ELASTICSEARCH_URL"] == "https://u:p%2Fw@db.example.com:5432"
        clear = read(lambda: elasticsearch_vars(endpoint(database="shop", tls="disable"), "ELASTICSEARCH_URL"))
        assert clear == {"ELASTICSEARCH_URL": "http://u:p%2Fw@db.example.com:5432/shop"}

    def test_a_path_or_a_name_that_an_address_can_not_hold_is_encoded(self) -> None:
        def odd() -> Endpoint:
            return endpoint(database="a b?c#d/e", tls="disable")

        assert read(lambda: elasticsearch_vars(odd(), "X_URL"))["X_URL"] == "http://u:p%2Fw@db.example.com:5432/a%20b%3Fc%23d/e"
        assert read(lambda: postgres_vars(odd(), "X_URL"))["X_URL"].endswith(":5432/a%20b%3Fc%23d/e?sslmode=disable")

    def test_the_broker_is_mqtts_unless_said_otherwise(self) -> None:
        said = read(lambda: MqttEndpoint.external("mqtt", external(tls="verify-full", ca=CA), secrets()).config_vars(Mqtt()))
        assert said["MQTT_URL"].startswith("mqtts://u:")
        assert (said["MQTT_TLS"], said["MQTT_CA_FILE"]) == ("verify-full", f"{AUTHORITIES}/mqtt.pem")


class TestAuthorities:
    def test_each_service_has_a_file_of_its_own(self) -> None:
        made = [
            Endpoint(service=service, host=service, port=1, tls="verify-ca", ca=ca)
            for service, ca in (("postgres", CA), ("redis-jobs", CA + CA), ("mqtt", None))
        ]
        assert authorities(made) == {"postgres.pem": CA, "redis-jobs.pem": CA + CA}


class TestSettings:
    def test_verify_ca_without_an_authority_is_refused(self) -> None:
        said = {"where": "external", "external": {"host": "db", "port": 5432, "tls": "verify-ca"}}
        with pytest.raises(SettingsError, match=r"external\.tls: 'verify-ca': needs ca"):
            resolve("staging", STACK | {"postgres": said})

    @pytest.mark.parametrize("mode", ["disable", "require"])
    def test_an_authority_that_nothing_would_look_at_is_refused(self, mode: str) -> None:
        said = {"where": "external", "external": {"host": "db", "port": 5432, "tls": mode, "ca": CA}}
        with pytest.raises(SettingsError, match=f"external.tls: '{mode}': would never look at ca: say verify-full"):
            resolve("staging", STACK | {"postgres": said})

    def test_the_config_vars_beside_an_address_are_taken(self) -> None:
        said = {"where": "external", "external": {"host": "db", "port": 5432, "tls": "verify-full", "ca": CA}}
        with pytest.raises(SettingsError, match=r"DATABASE_CA_FILE is already made by postgres\.external\.tls"):
            resolve("staging", STACK | {"postgres": said, "app": {"config": {"DATABASE_CA_FILE": "/x"}}})

    def test_the_names_that_settings_reserve_are_those_that_the_components_make(self) -> None:
        said = {"host": "x.example.com", "port": 1, "tls": "verify-full", "ca": CA, "password": "PASSWORD"}
        service = {"where": "external", "external": said}
        names = ("postgres", "mqtt", "elasticsearch")
        consumer = {"consumer": {"where": "none"}, "canary": {"where": "none"}}
        settings: Settings = resolve("staging", STACK | consumer | dict.fromkeys(names, service) | {"redis": {"jobs": service}})
        stated = External.model_validate(said)
        made: dict[str, str] = {}
        made |= read(lambda: postgres_vars(Endpoint.external("postgres", stated, secrets()), settings.postgres.config_var))
        made |= read(lambda: redis_vars(Endpoint.external("redis-jobs", stated, secrets()), Redis().config_var))
        made |= read(lambda: MqttEndpoint.external("mqtt", stated, secrets()).config_vars(settings.mqtt))
        made |= read(lambda: elasticsearch_vars(Endpoint.external("e", stated, secrets()), settings.elasticsearch.config_var))
        assert sorted(made) == sorted(settings.derived_config_vars())
