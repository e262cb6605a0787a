"""The consumer: the process that reads what devices publish, and must never be away for long."""

from dataclasses import replace

import pulumi
import pulumi_random

from components import process
from components.kube.configuration import secret
from components.mqtt import MqttSession
from components.mqtt_definitions import CLIENT_ID_LENGTH, CONSUMER_SESSION
from components.release import Release
from components.site import Site
from components.watch import Expectation, Watch, rules
from settings.app import Consumer as ConsumerSettings


def mqtt_session(args: ConsumerSettings, opts: pulumi.ResourceOptions) -> MqttSession | None:
    """Make the client id of a consumer that speaks MQTT; None for one that does not.

    Whoever knows the id can cut the consumer off, so it is a secret. The broker holds the session's queue before the
    consumer first connects.
    """
    if args.where != "cluster" or args.mode != "mqtt":
        return None
    generated = pulumi_random.RandomPassword("consumer-client-id", length=CLIENT_ID_LENGTH, special=False, opts=opts)
    return MqttSession(client_id=generated.result, topic=args.topic)


def watch(args: ConsumerSettings, *, counted: bool = True) -> Watch:
    """Return what the consumer brings to be watched. Its own metrics are of little use when it hangs: the broker counts who reads.

    `counted` is false where somebody else's broker does, and does not tell.
    """
    own = process.watched("consumer", args, *rules("consumer"))
    queue = {"amqp": args.queue, "mqtt": CONSUMER_SESSION, "sidekiq": None}[args.mode]
    read = [Expectation(record="switchyard:queue", value=1, labels={"queue": queue})] if queue and counted else []
    return replace(own, expectations=(*own.expectations, *read))


class Consumer(pulumi.ComponentResource):
    """The Deployment `consumer`.

    Mode amqp: two or more replicas of which the broker lets one read, so the next takes over in a moment. Mode mqtt: one
    replica whose persistent session (config vars MQTT_CLIENT_ID and MQTT_TOPIC) keeps messages while it is away. Mode
    sidekiq: one replica of an app whose poller is a Sidekiq worker.
    """

    watch: Watch
    """Its own metrics, where it has them, and how many of it there are."""

    def __init__(
        self,
        name: str,
        args: ConsumerSettings,
        site: Site,
        release: Release,
        session: MqttSession | None,
        opts: pulumi.ResourceOptions | None = None,
        *,
        counted: bool = True,
    ) -> None:
        """Make the consumer of `release`; `session` is that of mode mqtt. `counted`: whether the stack's own broker tells who reads."""
        super().__init__("switchyard:index:Consumer", name, None, opts)
        env: dict[str, str] = {}
        if session:
            values = {"MQTT_CLIENT_ID": session.client_id}
            own = secret(f"{name}-session", "consumer", site, values, session.topic, pulumi.ResourceOptions(parent=self))
            release = replace(release, extra_secrets=[own])
            env["MQTT_TOPIC"] = session.topic
        process.run(self, name, "consumer", args, site, release, env=env, singleton=args.alone)
        self.watch = watch(args, counted=counted)
        self.register_outputs({})
