"""What a preview would lose, and how it is said."""

from typing import Any

import pytest

from cli import broker, data_loss
from settings import resolve
from tools.errors import UserError

STACK = "urn:pulumi:s::switchyard::switchyard:index:Stack$"


def urn(types: str, name: str) -> str:
    return f"{STACK}{types}::{name}"


POSTGRES = urn("switchyard:index:Postgres$kubernetes:apps/v1:StatefulSet", "postgres")
NAMESPACE = urn("kubernetes:core/v1:Namespace", "lamp-s")
KEY = urn("switchyard:index:CertificateAuthority$tls:index/privateKey:PrivateKey", "authority-key")
SERVER_KEY = urn("switchyard:index:MqttBroker$tls:index/privateKey:PrivateKey", "mqtt-tls-key")
SECRET = urn("kubernetes:core/v1:Secret", "app-config")


def steps(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"op": op, "urn": which} for op, which in pairs]


def test_a_replacement_is_one_loss_however_many_steps_it_takes() -> None:
    made = steps(("create-replacement", POSTGRES), ("replace", POSTGRES), ("delete-replaced", POSTGRES))
    assert data_loss.losses(made) == ["replace StatefulSet postgres"]


@pytest.mark.parametrize("op", ["same", "update", "create", "read", "refresh"])
def test_what_stays_is_no_loss(op: str) -> None:
    assert data_loss.losses(steps((op, POSTGRES))) == []


def test_the_namespace_and_the_authority_are_lost_and_what_can_be_made_again_is_not() -> None:
    made = steps(("delete", NAMESPACE), ("delete", KEY), ("delete", SERVER_KEY), ("delete", SECRET))
    assert data_loss.losses(made) == ["delete Namespace lamp-s", "delete PrivateKey authority-key"]


def test_deletions_that_a_refused_preview_did_not_come_to_are_found_in_the_state() -> None:
    resources = [{"urn": POSTGRES}, {"urn": KEY}, {"urn": SECRET}]
    assert [str(loss) for loss in data_loss.hidden(steps(("same", POSTGRES)), resources)] == ["delete PrivateKey authority-key"]


def test_the_refusal_lists_every_loss_and_says_how_it_is_meant() -> None:
    text = data_loss.refusal("staging", ["delete StatefulSet mqtt", "drop queue falls, which holds 7 messages"], "up")
    assert "nothing was changed:\n  delete StatefulSet mqtt\n  drop queue falls" in text
    assert "./sy up -s staging --allow-data-loss staging" in text


def test_the_name_of_another_stack_allows_nothing() -> None:
    with pytest.raises(UserError, match="names stack production, and this is stack staging"):
        data_loss.refuse_other("staging", "production")


class TestQueues:
    SAID = resolve("staging", {"tier": "staging", "cluster": {"identifier": "c"}})

    def test_a_declared_queue_is_wanted_and_a_dropped_one_is_not(self) -> None:
        assert broker.wanted("falls", self.SAID)
        assert not broker.wanted("tumbles", self.SAID)

    def test_without_a_broker_no_queue_is_wanted(self) -> None:
        without = {"mqtt": {"where": "none"}, "consumer": {"where": "none"}, "canary": {"where": "none"}}
        assert not broker.wanted("falls", resolve("staging", {"tier": "staging", "cluster": {"identifier": "c"}} | without))

    def test_a_session_is_wanted_as_long_as_the_consumer_speaks_mqtt(self) -> None:
        assert not broker.wanted("mqtt-subscription-Secret123qos1", self.SAID)

    def test_the_name_of_a_session_is_not_shown_because_the_client_id_is_secret(self) -> None:
        assert "Secret123" not in broker.shown("mqtt-subscription-Secret123qos1")
