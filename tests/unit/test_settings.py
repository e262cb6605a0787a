"""What a stack may say: the layers, and one sentence for each thing that is refused."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from images import catalog
from settings import SettingsError, load, resolve
from settings.backing import Postgres
from settings.cures import DEMO
from settings.loader import ROOT, merge, read_stack_file
from settings.types import bytes_of, cores_of, seconds_of
from tests.unit.stacks import UNWATCHED

NAMED = {"identifier": "company"}
NAMED_TEXT = '{"identifier": "company"}'

STAGING = {"tier": "staging", "cluster": NAMED}
SENTINEL = "hunter2-Do-Not-Print"
_CUT = "expected at most {} characters: of its pods' names, {}-…, Kubernetes would cut the end by which they are known"


def refused(said: dict[str, Any], others: list[str] | None = None, **options: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolve("staging", STAGING | said, others or [], **options)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project of its own: product.yaml and tiers that a test may write."""
    tiers = tmp_path / "settings" / "tiers"
    tiers.mkdir(parents=True)
    (tmp_path / "product.yaml").write_text("product: lamp\nweb:\n  web:\n    command: [puma]\n    threads: 4\n")
    for tier in ("staging", "sandbox"):
        (tiers / f"{tier}.yaml").write_text("{}\n")
    return tmp_path


def tier_says(project: Path, tier: str, text: str) -> None:
    (project / "settings" / "tiers" / f"{tier}.yaml").write_text(text)


class TestLayers:
    def test_a_map_of_a_higher_layer_is_merged_into_the_lower_one(self) -> None:
        assert merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}}

    def test_a_list_replaces_the_list_below(self) -> None:
        assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}

    def test_null_deletes_what_a_lower_layer_says(self) -> None:
        assert merge({"a": {"x": 1, "y": 2}}, {"a": {"x": None}}) == {"a": {"y": 2}}

    def test_null_for_what_nobody_says_is_nothing(self) -> None:
        assert merge({}, {"a": None, "b": {"c": None}}) == {"b": {}}

    def test_a_map_replaces_a_scalar_and_a_scalar_a_map(self) -> None:
        assert merge({"a": 1, "b": {"x": 1}}, {"a": {"x": 1}, "b": 2}) == {"a": {"x": 1}, "b": 2}

    def test_merging_changes_neither_layer(self) -> None:
        low, high = {"a": {"x": 1}}, {"a": {"y": 2}}
        merge(low, high)
        assert (low, high) == ({"a": {"x": 1}}, {"a": {"y": 2}})

    def test_the_stack_wins_over_the_tier_and_the_tier_over_the_product(self, project: Path) -> None:
        tier_says(project, "staging", "web: {web: {threads: 6, replicas: 3}}\n")
        said = STAGING | {"web": {"web": {"threads": 8}}}
        web = resolve("staging", said, root=project).web["web"]
        assert (web.command, web.replicas, web.threads) == (["puma"], 3, 8)

    def test_what_no_layer_says_is_the_code_default(self, project: Path) -> None:
        assert resolve("staging", STAGING, root=project).postgres == Postgres()

    def test_null_takes_a_process_of_the_product_away(self) -> None:
        assert not resolve("staging", STAGING | {"sidekiq": {"alerts": None}}).sidekiq

    def test_null_for_all_web_processes_leaves_none(self) -> None:
        assert resolve("staging", STAGING | {"web": None, "canary": {"where": "none"}, "edge": {"where": "none"}}).web == {}

    def test_null_brings_the_code_default_back(self) -> None:
        assert resolve("sandbox", {"tier": "sandbox", "postgres": {"members": None}}).postgres.members == 3

    def test_where_none_turns_a_component_off_and_keeps_what_was_said_of_it(self) -> None:
        made = resolve("staging", STAGING | {"consumer": {"where": "none"}, "mqtt": {"where": "none"}, "canary": {"where": "none"}})
        assert made.mqtt.where == "none"
        assert "rabbitmq" not in made.image_names()
        assert made.mqtt.queues

    def test_a_tier_may_be_said_by_the_product(self, project: Path) -> None:
        (project / "product.yaml").write_text("product: lamp\ntier: sandbox\ncluster: {identifier: sandbox}\n")
        assert resolve("anything", {}, root=project).tier == "sandbox"

    @pytest.mark.parametrize("tier", ["sandbox", "testing", "small", "staging", "production"])
    def test_a_tier_adds_nothing_to_another_product(self, project: Path, tier: str) -> None:
        (project / "product.yaml").write_text("product: shop\nweb: {api: {command: [puma]}}\nsidekiq: {default: {}}\nredis: {queue: {}}\n")
        shutil.copytree(ROOT / "settings" / "tiers", project / "settings" / "tiers", dirs_exist_ok=True)
        made = resolve("shop", {"tier": tier, "cluster": NAMED}, root=project)
        assert (list(made.web), list(made.sidekiq), list(made.redis), made.mqtt.where) == (["api"], ["default"], ["queue"], "none")

    def test_a_tier_sizes_what_only_the_stack_names(self, project: Path) -> None:
        tier_says(project, "staging", "redis: {cache: {memory_share: 0.5}, other: {}}\n")
        made = resolve("staging", STAGING | {"redis": {"cache": {}}}, root=project)
        assert {name: redis.memory_share for name, redis in made.redis.items()} == {"cache": 0.5}


class TestTheEnginesConfiguration:
    def test_objects_arrive_as_json_and_scalars_as_they_stand(self) -> None:
        made = load("staging", {"tier": "staging", "cluster": NAMED_TEXT, "namespace": "lamps", "postgres": '{"members": 5}'})
        assert (made.namespace, made.postgres.members) == ("lamps", 5)

    def test_a_key_set_to_null_arrives_as_an_empty_string_and_counts_as_null(self) -> None:
        assert load("staging", {"tier": "staging", "cluster": NAMED_TEXT, "namespace": "", "sidekiq": ""}).sidekiq == {}

    @pytest.mark.parametrize("text", ["{", "[", '{"members": 3', "{x}", "none", "3", "true"])
    def test_text_that_is_no_object_is_refused_and_never_a_traceback(self, text: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load("staging", {"tier": "staging", "cluster": NAMED_TEXT, "postgres": text})
        assert caught.value.problems == [f"Pulumi.staging.yaml: postgres: {text!r}: expected a map of settings"]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown key", {"postgres": {"membres": 3}}, 'postgres.membres: unknown key - did you mean "members"?'),
    (
        "an unknown key of a named thing",
        {"sidekiq": {"alerts": {"queus": ["a"]}}},
        'sidekiq.alerts.queus: unknown key - did you mean "queues"?',
    ),
    ("an unknown key deep down", {"web": {"web": {"probes": {"liv": "/x"}}}}, 'web.web.probes.liv: unknown key - did you mean "live"?'),
    (
        "an unknown key unlike all others",
        {"postgres": {"volume": {"zzz": 1}}},
        "postgres.volume.zzz: unknown key; expected one of size, storage_class",
    ),
    ("text for a number", {"postgres": {"members": "3"}}, "postgres.members: '3': expected a whole number, without quotes"),
    ("a number for text", {"app": {"config": {"A": 5}}}, "app.config.A: 5: expected text; put quotes around a number"),
    ("text for a map", {"postgres": "none"}, "postgres: 'none': expected a map of settings"),
    ("text for a list", {"release": {"command": "rake"}}, "release.command: 'rake': expected a list of words such as [rake]"),
    ("text for a truth", {"web": {"web": {"singleton": "yes"}}}, "web.web.singleton: 'yes': expected true or false, without quotes"),
    ("too few", {"postgres": {"members": 0}}, "postgres.members: 0: expected a number greater than or equal to 1"),
    ("too many", {"web": {"web": {"replicas": 101}}}, "web.web.replicas: 101: expected a number less than or equal to 100"),
    ("no port", {"web": {"web": {"port": 70000}}}, "web.web.port: 70000: expected a number less than or equal to 65535"),
    (
        "no such place",
        {"postgres": {"where": "extern"}},
        "postgres.where: 'extern': expected 'cluster', 'external' or 'none' - did you mean 'external'?",
    ),
    ("no such version", {"postgres": {"major": 9}}, "postgres.major: 9: expected 13, 14, 15, 16 or 17"),
    (
        "a quantity with a wrong unit",
        {"postgres": {"resources": {"memory": "512MB"}}},
        "postgres.resources.memory: '512MB': expected a quantity of bytes such as 512Mi, 1.5Gi or 20G - did you mean 512Mi or 512M?",
    ),
    (
        "nothing of a quantity",
        {"redis": {"jobs": {"volume": {"size": "0Gi"}}}},
        "redis.jobs.volume.size: '0Gi': expected more than 0 bytes",
    ),
    (
        "a wrong amount of cpu",
        {"mqtt": {"resources": {"cpu": "2 cores"}}},
        "mqtt.resources.cpu: '2 cores': expected an amount of cpu such as 250m or 1.5 (cores) - did you mean 2?",
    ),
    ("no cpu at all", {"mqtt": {"resources": {"cpu": "0m"}}}, "mqtt.resources.cpu: '0m': expected more than 0 cores"),
    (
        "less cpu than Kubernetes counts",
        {"mqtt": {"resources": {"cpu": "100u"}}},
        "mqtt.resources.cpu: '100u': expected at least 1m, a thousandth of a core: Kubernetes counts no finer",
    ),
    (
        "less cpu than Kubernetes counts, as a number",
        {"mqtt": {"resources": {"cpu": 0.0005}}},
        "mqtt.resources.cpu: 0.0005: expected at least 1m, a thousandth of a core: Kubernetes counts no finer",
    ),
    (
        "a negative number of cores",
        {"mqtt": {"resources": {"cpu": -1}}},
        "mqtt.resources.cpu: -1: expected an amount of cpu such as 250m or 1.5 (cores)",
    ),
    (
        "more cores than can be counted",
        {"mqtt": {"resources": {"cpu": 10**5000}}},
        "mqtt.resources.cpu: a number of more than 20 digits: expected at most 9223372036854775807 cores: Kubernetes counts no further",
    ),
    (
        "true for cores",
        {"mqtt": {"resources": {"cpu": True}}},
        "mqtt.resources.cpu: True: expected text; put quotes around a number",
    ),
    (
        "memory without a unit",
        {"mqtt": {"resources": {"memory": 512}}},
        "mqtt.resources.memory: 512: expected a quantity of bytes such as 512Mi, 1.5Gi or 20G, with its unit - "
        "did you mean 512Mi or 512Gi?",
    ),
    (
        "memory in bytes",
        {"mqtt": {"resources": {"memory": 536870912}}},
        "mqtt.resources.memory: 536870912: expected a quantity of bytes such as 512Mi, 1.5Gi or 20G, with its unit - did you mean 512Mi?",
    ),
    (
        "a volume whose unit was forgotten",
        {"postgres": {"volume": {"size": "10"}}},
        "postgres.volume.size: '10': expected at least 1Mi; 10 alone is 10 bytes - did you mean 10Mi or 10Gi?",
    ),
    (
        "a volume below 1Mi",
        {"redis": {"jobs": {"volume": {"size": "1023Ki"}}}},
        "redis.jobs.volume.size: '1023Ki': expected at least 1Mi",
    ),
    (
        "a command in one text",
        {"web": {"web": {"command": "bundle exec puma"}}},
        "web.web.command: 'bundle exec puma': expected a list of words such as [bundle, exec, puma]",
    ),
    (
        "a command with words that are quoted",
        {"release": {"command": "bin/rails runner -e 5 'puts 1'"}},
        """release.command: "bin/rails runner -e 5 'puts 1'": expected a list of words such as [bin/rails, runner, -e, "5", "puts 1"]""",
    ),
    (
        "a command that needs a shell",
        {"release": {"command": "a && b"}},
        """release.command: 'a && b': expected a list of words such as [sh, -c, "a && b"]""",
    ),
    (
        "a command with a quote that does not end",
        {"release": {"command": "say 'it"}},
        """release.command: "say 'it": expected a list of words such as [bundle, exec, puma]""",
    ),
    ("a list of secrets in one text", {"app": {"secrets": "hunter2 hunter3"}}, "app.secrets: expected a list"),
    (
        "a wrong duration",
        {"consumer": {"stop_within": "5 min"}},
        "consumer.stop_within: '5 min': expected a duration such as 30s, 5m, 2h or 14d - did you mean 5m?",
    ),
    (
        "a name that Kubernetes refuses",
        {"web": {"Web_1": {"command": ["x"]}}},
        "web.Web_1: 'Web_1': expected a DNS label: a-z, 0-9 and '-', starting with a letter, at most 40 characters",
    ),
    (
        "a config var with a dash",
        {"app": {"config": {"A-B": "x"}}},
        "app.config.A-B: 'A-B': expected the name of a config var such as SENTRY_DSN",
    ),
    ("a relative path", {"app": {"writable": ["tmp"]}}, "app.writable.0: 'tmp': expected an absolute path such as /app/tmp"),
    (
        "a range with host bits",
        {"edge": {"ranges": ["10.0.0.1/8"]}},
        "edge.ranges.0: '10.0.0.1/8': expected an address range such as 10.1.0.0/16 - did you mean 10.0.0.0/8?",
    ),
    (
        "a schedule that is no cron",
        {"schedules": {"nightly": {"command": ["x"], "cron": "daily"}}},
        "schedules.nightly.cron: 'daily': expected five cron fields - minute, hour, day of the month, month, day of the week - such as "
        '"0 3 * * mon-fri", not 1',
    ),
    (
        "external without where",
        {"postgres": {"where": "external"}},
        "postgres.where: 'external': needs external: {host, port, user, password}",
    ),
    (
        "an external without a port",
        {"postgres": {"external": {"host": "db"}}},
        "postgres.external.port: is missing; set it in Pulumi.staging.yaml",
    ),
    (
        "an uneven broker",
        {"mqtt": {"members": 2}},
        "mqtt.members: 2: expected an odd number: of 2 half is no majority, so an even one more makes nothing safer",
    ),
    (
        "two of a singleton",
        {"processes": {"clock": {"command": ["c"], "singleton": True, "replicas": 2}}},
        "processes.clock.replicas: 2: expected 1 of a singleton (processes.clock.singleton)",
    ),
    (
        "two MQTT sessions",
        {"consumer": {"mode": "mqtt"}, "mqtt": {"queues": {"falls": None}}},
        "consumer.replicas: 2 by default: expected 1 with consumer.mode mqtt: a second one would cut the first off",
    ),
]


class TestRefusals:
    @pytest.mark.parametrize(("said", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
    def test_one_sentence_names_file_key_value_and_expectation(self, said: dict[str, Any], sentence: str, tmp_path: Path) -> None:
        # A project whose stack file does not say it: the sentence then has no line number to keep in step with.
        for name in ("product.yaml", "settings/tiers/staging.yaml"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
        assert refused(said, root=tmp_path) == [f"Pulumi.staging.yaml: {sentence}"]

    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            ({"consumer": {"queue": "fals"}}, "Pulumi.x.yaml: consumer.queue: 'fals': no such queue under mqtt.queues (falls)"),
            (
                {"mqtt": {"where": "none"}, "canary": {"where": "none"}},
                "Pulumi.x.yaml: consumer.mode: 'amqp' by default: needs a broker, but mqtt.where is none",
            ),
            (
                {"consumer": {"mode": "mqtt", "replicas": 1}},
                "Pulumi.x.yaml: consumer.mode: 'mqtt': reads its session and not the queue 'falls', which would fill up: "
                "say mqtt.queues.falls: null",
            ),
            (
                {"redis": {"jobs": {"where": "none"}}},
                "product.yaml:25: sidekiq.alerts: needs a Redis for its jobs, and the stack has none: say redis: {jobs: {}}, "
                "or name REDIS_URL under app.secrets",
            ),
            ({"processes": {"web": {"command": ["x"]}}}, "Pulumi.x.yaml: processes.web: the name 'web' is taken by web.web"),
            ({"sidekiq": {"p" * 39: {}}}, f"Pulumi.x.yaml: sidekiq.{'p' * 39}: {_CUT.format(38, 'sidekiq-' + 'p' * 39)}"),
            (
                {"redis": {"r" * 32: {"config_var": "R_URL"}}},
                f"Pulumi.x.yaml: redis.{'r' * 32}: {_CUT.format(31, 'redis-' + 'r' * 32 + '-exporter')}",
            ),
            (
                {"web": {"web": {"metrics": {"port": 3000}}}},
                "Pulumi.x.yaml: web.web.metrics.port: 3000: is also web.web.port, where it serves: two servers of one process can not "
                "have one port",
            ),
            (
                {"web": {"web": {"config": {"METRICS_PORT": "1"}}}},
                "Pulumi.x.yaml: web.web.config.METRICS_PORT: say web.web.metrics.port instead",
            ),
            ({"web": {"postgres": {"command": ["x"]}}}, "Pulumi.x.yaml: web.postgres: the name 'postgres' is taken by Switchyard itself"),
            (
                {"app": {"config": {"DATABASE_URL": "x"}}},
                "Pulumi.x.yaml: app.config.DATABASE_URL: config var DATABASE_URL is already made by postgres.config_var",
            ),
            (
                {"app": {"secrets": ["SECRET_KEY_BASE"]}},
                "Pulumi.x.yaml: app.secrets: config var SECRET_KEY_BASE is already made by app.generate",
            ),
            (
                {"redis": {"cache": {}}},
                "Pulumi.x.yaml: redis.cache.config_var: config var REDIS_URL is already made by redis.jobs.config_var",
            ),
            (
                {"processes": {"redis-jobs": {"command": ["x"]}}},
                "Pulumi.x.yaml: processes.redis-jobs: the name 'redis-jobs' is taken by redis.jobs",
            ),
            (
                {"web": {"mqtt-public": {"command": ["x"]}}},
                "Pulumi.x.yaml: web.mqtt-public: the name 'mqtt-public' is taken by Switchyard itself",
            ),
            (
                {"web": {"web": {"config": {"WEB_CONCURRENCY": "2"}}}},
                "Pulumi.x.yaml: web.web.config.WEB_CONCURRENCY: say web.web.concurrency instead",
            ),
            ({"app": {"config": {"PORT": "80"}}}, "Pulumi.x.yaml: app.config.PORT: say port of each process under web instead"),
            (
                {"sidekiq": {"alerts": {"config": {"RAILS_MAX_THREADS": "2"}}}},
                "Pulumi.x.yaml: sidekiq.alerts.config.RAILS_MAX_THREADS: say sidekiq.alerts.concurrency instead",
            ),
            (
                {"mqtt": {"where": "external", "external": {"host": "mqtt", "port": 8883}}, "canary": {"where": "none"}},
                "Pulumi.x.yaml: consumer.mode: 'amqp' by default: needs an AMQP address, and an external broker is known by its "
                "MQTT address alone: name AMQP_URL under app.secrets, or say consumer.mode: mqtt and replicas: 1",
            ),
            (
                {"app": {"writable": ["/app/tmp"]}, "sidekiq": {"alerts": None}, "elasticsearch": {"where": "none"}},
                "Pulumi.x.yaml: consumer.health.file: '/tmp/heartbeat' by default: "
                "is in none of the folders under app.writable, and all else is read-only",
            ),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, said: dict[str, Any], sentence: str) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", STAGING | said)
        assert caught.value.problems == [sentence]

    def test_sidekiq_may_have_a_redis_that_the_stack_only_knows_by_its_address(self) -> None:
        said = {"redis": {"jobs": {"where": "none"}}, "app": {"secrets": ["REDIS_URL"]}}
        assert resolve("x", STAGING | said).sidekiq

    def test_an_external_broker_may_be_read_by_amqp_with_an_address_of_its_own(self) -> None:
        said = {
            "mqtt": {"where": "external", "external": {"host": "mqtt", "port": 8883}},
            "app": {"secrets": ["AMQP_URL"]},
            "canary": {"where": "none"},
        }
        assert resolve("staging", STAGING | said).mqtt.where == "external"

    @pytest.mark.parametrize("stack", ["acme.production", "Bright-Homes", "bright_homes", "a" * 90, "ends-"])
    def test_a_stacks_name_that_makes_no_namespace_is_refused_before_anything_is_made(self, stack: str) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve(stack, STAGING)
        reason = "made of the stack's name, is none for Kubernetes; set another one with `namespace:`"
        assert caught.value.problems == [f"Pulumi.{stack}.yaml: namespace: 'lamp-{stack}', {reason}"]

    @pytest.mark.parametrize("stack", ["acme.production", "Bright-Homes", "bright_homes", "bright-homes"])
    def test_any_stacks_name_does_beside_a_namespace_of_its_own(self, stack: str) -> None:
        assert resolve(stack, STAGING | {"namespace": "lamps"}).namespace == "lamps"

    @pytest.mark.parametrize("stack", ["a" * 59, "ends-"])
    def test_a_stacks_name_that_makes_no_label_is_refused(self, stack: str) -> None:
        with pytest.raises(SettingsError, match="is no label for Kubernetes"):
            resolve(stack, STAGING | {"namespace": "lamps"})

    @pytest.mark.parametrize("tier", [None, "prod", "Staging", 3, ["staging"], {"name": "staging"}])
    def test_a_tier_that_does_not_exist_is_refused_with_the_list_of_those_that_do(self, tier: Any) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", {"cluster": NAMED, "tier": tier})
        shown = "is missing" if tier is None else f"{tier!r}: is no tier" if isinstance(tier, (str, int)) else "is no tier"
        expected = f"Pulumi.x.yaml: tier: {shown}; expected one of sandbox, testing, small, staging, production"
        assert caught.value.problems == [expected]

    def test_a_missing_product_is_said_with_the_file_to_set_it_in(self) -> None:
        assert refused({"product": None}) == [
            "Pulumi.staging.yaml: product: is missing; set it in Pulumi.staging.yaml: the product's short name, such as lamp"
        ]

    def test_an_unknown_top_level_key_names_the_nearest_one(self) -> None:
        assert refused({}, ["postgress"]) == ['Pulumi.staging.yaml: postgress: unknown key - did you mean "postgres"?']

    def test_a_secret_that_no_part_asks_for_is_refused(self) -> None:
        [sentence] = refused({}, ["STRIPE_SECRET"])
        assert sentence == (
            "Pulumi.staging.yaml: STRIPE_SECRET: no part of the stack asks for this secret; a secret config var is named under app.secrets"
        )

    def test_a_mistyped_secret_names_the_one_that_is_asked_for(self) -> None:
        [sentence] = refused({"app": {"secrets": ["SENTRY_DSN"]}}, ["SENTRY_DNS"])
        assert sentence == 'Pulumi.staging.yaml: SENTRY_DNS: unknown key - did you mean "SENTRY_DSN"?'

    def test_a_secret_that_is_asked_for_is_welcome(self) -> None:
        resolve("staging", STAGING | {"app": {"secrets": ["SENTRY_DSN"]}}, ["SENTRY_DSN"])

    def test_everything_that_is_wrong_is_said_at_once(self) -> None:
        said = {"postgres": {"membres": 3}, "web": {"web": {"port": 0, "threads": "5"}}, "mqtt": {"members": 4}}
        problems = refused(said, ["rediss"])
        assert len(problems) == 5
        for key in ("postgres.membres", "web.web.port", "web.web.threads", "mqtt.members", "rediss"):
            assert any(f" {key}: " in problem for problem in problems), problems

    def test_the_line_of_the_stack_file_is_named(self, project: Path) -> None:
        file = project / "Pulumi.staging.yaml"
        file.write_text(
            "config:\n  switchyard:cluster: {identifier: c}\n  switchyard:tier: staging\n"
            "  switchyard:postgres:\n    volume:\n      size: 10Gi\n    membres: 3\n"
        )
        said, others = read_stack_file(file)
        with pytest.raises(SettingsError) as caught:
            resolve("staging", said, others, project)
        assert caught.value.problems == ['Pulumi.staging.yaml:7: postgres.membres: unknown key - did you mean "members"?']

    def test_the_lines_of_an_unknown_key_and_of_the_map_that_lacks_one_are_named(self, project: Path) -> None:
        file = project / "Pulumi.staging.yaml"
        file.write_text(
            "config:\n  switchyard:cluster: {identifier: c}\n  switchyard:tier: staging\n"
            "  switchyard:postgress: {members: 3}\n  switchyard:budget: {cpu: '8', memory: 32Gi}\n"
        )
        said, others = read_stack_file(file)
        with pytest.raises(SettingsError) as caught:
            resolve("staging", said, others, project)
        assert caught.value.problems == [
            "Pulumi.staging.yaml:5: budget.storage: is missing; set it in Pulumi.staging.yaml",
            'Pulumi.staging.yaml:4: postgress: unknown key - did you mean "postgres"?',
        ]

    def test_the_line_where_a_file_ceases_to_be_yaml_is_named(self, project: Path) -> None:
        file = project / "Pulumi.staging.yaml"
        file.write_text("config:\n  switchyard:tier: staging\n\tswitchyard:domain: a.example\n")
        with pytest.raises(SettingsError, match=r"^Pulumi\.staging\.yaml:3: is not YAML: .* in column 1$"):
            read_stack_file(file)

    def test_the_line_of_a_list_item_is_named(self, project: Path) -> None:
        file = project / "Pulumi.staging.yaml"
        file.write_text(
            "config:\n  switchyard:cluster: {identifier: c}\n  switchyard:tier: staging\n"
            "  switchyard:edge:\n    ranges:\n      - 10.0.0.0/8\n      - nowhere\n"
        )
        with pytest.raises(SettingsError) as caught:
            resolve("staging", *read_stack_file(file), project)
        assert caught.value.problems == ["Pulumi.staging.yaml:7: edge.ranges.1: 'nowhere': expected an address range such as 10.1.0.0/16"]

    @pytest.mark.parametrize(("file", "line"), [("product.yaml", 3), ("settings/tiers/staging.yaml", 2)])
    def test_a_mistake_in_a_lower_layer_names_that_layers_file_and_line(self, project: Path, file: str, line: int) -> None:
        (project / file).write_text("product: lamp\n" * (line - 1) + "redis: {jobs: {polisy: noeviction}}\n")
        (project / "product.yaml").write_text(
            (project / "product.yaml").read_text().replace("product: lamp\nproduct: lamp\n", "product: lamp\n#\n")
        )
        if file != "product.yaml":
            # A tier sizes what the product has.
            with (project / "product.yaml").open("a") as product:
                product.write("redis: {jobs: {}}\n")
        assert refused({}, root=project) == [f'{file}:{line}: redis.jobs.polisy: unknown key - did you mean "policy"?']

    @pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("- a\n", "expected a map of settings"), ("\t", "is not YAML")])
    def test_a_file_that_can_not_be_read_as_settings_is_named(self, project: Path, text: str, words: str) -> None:
        (project / "product.yaml").write_text(text)
        [sentence] = refused({}, root=project)
        assert re.match(rf"product\.yaml(:\d+)?: {words}", sentence)
        assert "\n" not in sentence

    def test_a_missing_file_is_named(self, project: Path) -> None:
        (project / "product.yaml").unlink()
        assert refused({}, root=project) == ["product.yaml: can not be read: No such file or directory"]


class TestSecrets:
    @pytest.mark.parametrize(
        "said",
        [
            {"postgres": {"where": "external", "external": {"host": "db", "port": 5432, "password": SENTINEL}}},
            {"redis": {"jobs": {"external": {"host": "db", "port": 6379, "password": f"{SENTINEL} {SENTINEL}"}}}},
            {"app": {"secrets": [SENTINEL]}},
        ],
    )
    def test_a_secret_written_where_its_name_belongs_is_not_repeated(self, said: dict[str, Any]) -> None:
        problems = refused(said)
        assert any("expected the name of a config var" in problem for problem in problems)
        assert SENTINEL not in str(problems)

    def test_the_values_of_secrets_are_never_in_an_error(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load("staging", {"tier": "staging", "cluster": NAMED_TEXT, "SENTRY_DSN": SENTINEL, "typo": SENTINEL, "postgres": '{"x": 1}'})
        assert SENTINEL not in str(caught.value)

    def test_secrets_are_those_of_the_app_and_of_external_services_in_use(self) -> None:
        external = {"host": "db", "port": 5432, "password": "DB_PASSWORD"}
        said = STAGING | {"app": {"secrets": ["SENTRY_DSN"]}, "postgres": {"external": external}}
        assert resolve("staging", said).secret_names() == ["SENTRY_DSN"]
        said["postgres"]["where"] = "external"
        assert resolve("staging", said).secret_names() == ["DB_PASSWORD", "SENTRY_DSN"]

    def test_a_secret_of_an_external_service_may_stay_when_the_stack_runs_the_service_itself(self) -> None:
        external = {"host": "db", "port": 5432, "password": "DB_PASSWORD"}
        said = STAGING | {"postgres": {"where": "cluster", "external": external}}
        assert resolve("staging", said, ["DB_PASSWORD"]).secret_names() == []
        with pytest.raises(SettingsError, match='DB_PASWORD: unknown key - did you mean "DB_PASSWORD"'):
            resolve("staging", said, ["DB_PASWORD"])


OURS = ("lamp", "postgres", "valkey", "rabbitmq")
WATCHING = ("elasticsearch", "loki", "prometheus", "kube-state-metrics", "alertmanager", "exporters", "grafana")


class TestWhatAStackLacks:
    def test_context_secrets_and_digests_are_listed_one_sentence_each(self) -> None:
        made = resolve("staging", STAGING | {"app": {"secrets": ["SENTRY_DSN", "STRIPE_KEY"]}})
        assert made.lacks(made.cures("staging"), ["STRIPE_KEY"]) == [
            "cluster.context is not set: name the kubeconfig context of its cluster; "
            "or try it on this machine: `./sy fork staging trial --domain HOST --cluster sandbox`",
            "secret SENTRY_DSN is missing: set it with `pulumi -s staging config set --secret SENTRY_DSN`",
            "image lamp has no digest: pin it with `./sy images pin lamp -s staging`",
            "image postgres has no digest: pin it with `./sy images pin postgres -s staging`",
            "image valkey has no digest: pin it with `./sy images pin valkey -s staging`",
            "image rabbitmq has no digest: pin it with `./sy images pin rabbitmq -s staging`",
            "image elasticsearch has no digest: pin it with `./sy images pin elasticsearch -s staging`",
            "image loki has no digest: pin it with `./sy images pin loki -s staging`",
            "image prometheus has no digest: pin it with `./sy images pin prometheus -s staging`",
            "image kube-state-metrics has no digest: pin it with `./sy images pin kube-state-metrics -s staging`",
            "image alertmanager has no digest: pin it with `./sy images pin alertmanager -s staging`",
            "image exporters has no digest: pin it with `./sy images pin exporters -s staging`",
            "image envoy has no digest: pin it with `./sy images pin envoy -s staging`",
            "image grafana has no digest: pin it with `./sy images pin grafana -s staging`",
        ]

    def test_a_stack_with_everything_lacks_nothing(self) -> None:
        pinned = {name: f"registry.example.com/{name}@sha256:{'0' * 64}" for name in (*OURS, *WATCHING, "envoy")}
        made = resolve("staging", STAGING | {"cluster": {**NAMED, "context": "company"}, "images": {"pinned": pinned}})
        assert made.lacks(made.cures("staging"), []) == []

    @pytest.mark.parametrize(
        ("image", "command"),
        [
            ("shop", "./sy images pin shop=REGISTRY/shop@sha256:… -s staging"),
            ("ghcr.io/company/shop:v1", "./sy deploy staging ghcr.io/company/shop@sha256:…"),
        ],
    )
    def test_the_image_of_ones_own_app_is_pinned_by_its_reference_and_ours_by_name(self, image: str, command: str) -> None:
        made = resolve("staging", STAGING | {"app": {"image": image}})
        lacks = made.lacks(made.cures("staging"), [])
        assert f"image {image} has no digest: pin it with `{command}`" in lacks
        assert "image postgres has no digest: pin it with `./sy images pin postgres -s staging`" in lacks

    def test_the_demos_image_is_among_those_that_are_built_here(self) -> None:
        assert DEMO in catalog.names()

    def test_a_tag_is_no_digest(self) -> None:
        said = STAGING | {"images": {"pinned": {"lamp": "registry.example.com/lamp:v1"}}}
        assert "lamp" in resolve("staging", said).unpinned_images()

    def test_images_of_parts_that_are_absent_are_not_asked_for(self) -> None:
        off = {"where": "none"}
        said = STAGING | {"postgres": off, "mqtt": off, "consumer": off, "redis": {"jobs": off}, "sidekiq": None}
        assert resolve("staging", said | UNWATCHED).image_names() == ["lamp"]


SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18} | {
    suffix: 2**power for suffix, power in {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}.items()
}


class TestQuantities:
    @pytest.mark.parametrize(
        ("text", "value"),
        [("1", 1), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1610612736), ("20G", 20 * 10**9), ("0.5Mi", 524288), ("1Ti", 2**40)],
    )
    def test_bytes_are_read_as_kubernetes_reads_them(self, text: str, value: int) -> None:
        assert bytes_of(text) == value

    @pytest.mark.parametrize(("suffix", "factor"), SUFFIXES.items())
    def test_every_suffix_of_bytes_is_read(self, suffix: str, factor: int) -> None:
        assert bytes_of(f"3{suffix}") == 3 * factor

    @pytest.mark.parametrize(
        ("text", "value"),
        [("12e6", 12 * 10**6), ("12E6", 12 * 10**6), ("1e3", 1000), ("1.Mi", 2**20), (".5Mi", 2**19), ("0.0001k", 1), ("5e-1", 1)],
    )
    def test_exponents_and_fractions_of_bytes_are_read_and_rounded_up(self, text: str, value: int) -> None:
        assert bytes_of(text) == value

    @pytest.mark.parametrize(
        "text", ["", "Mi", "1 Mi", "-1Mi", "+1Mi", "1mi", "1KB", "1Mi\n", "1GB", "20GB", "Infinity", "NaN", "1e", "512m", "1n", "1u", "٣Mi"]
    )
    def test_what_is_no_quantity_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="quantity of bytes"):
            bytes_of(text)

    def test_cores_are_read_as_kubernetes_reads_them(self) -> None:
        assert [float(cores_of(text)) for text in ("250m", "1", "1.5")] == [0.25, 1, 1.5]

    @pytest.mark.parametrize("text", ["", "m", "1c", "-1", "1,5"])
    def test_what_is_no_cpu_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="amount of cpu"):
            cores_of(text)

    def test_durations_are_read_in_all_units(self) -> None:
        assert [seconds_of(text) for text in ("30s", "5m", "2h", "14d")] == [30, 300, 7200, 1209600]

    @pytest.mark.parametrize("text", ["", "5", "s", "1.5h", "-1s", "5 m", "1w"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="duration"):
            seconds_of(text)

    @pytest.mark.parametrize(
        ("path", "inside", "outside"),
        [
            (("web", "web", "port"), (1, 65535), (0, 65536)),
            (("web", "web", "threads"), (1, 100), (0, 101)),
            (("mqtt", "session_expiry"), ("1s", "3650d"), ("0s", "3651d")),
            (("postgres", "members"), (1, 100), (0, 101)),
            (("postgres", "max_connections"), (70, 5000), (19, 5001)),
            (("redis", "jobs", "memory_share"), (0.1, 0.8), (0.09, 0.81)),
            (("app", "uid"), (1, 10100), (0, -1)),
            (("product",), ("a", "a" * 40), ("", "a" * 41)),
        ],
        ids=lambda value: ".".join(value) if isinstance(value, tuple) and value and isinstance(value[0], str) and len(value) > 1 else None,
    )
    def test_both_sides_of_a_limit(self, path: tuple[str, ...], inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
        room = {} if path[0] == "postgres" else {"postgres": {"max_connections": 5000}}
        for value in inside:
            resolve("staging", STAGING | room | nested(path, value))
        for value in outside:
            assert len(refused(room | nested(path, value))) == 1


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return value


class TestGracePeriods:
    def test_a_pod_is_given_longer_than_what_it_waits_for(self) -> None:
        made = resolve("production", {"tier": "production", "cluster": NAMED})
        web, pool = made.web["web"], made.sidekiq["alerts"]
        assert web.grace_seconds > seconds_of(web.stop_within) + 5
        assert pool.grace_seconds > seconds_of(pool.stop_within)
        assert pool.argv[-6:] == ["-t", str(seconds_of(pool.stop_within)), "-q", "alerts", "-q", "default"]


class TestTheFilesOfTheRepository:
    @pytest.mark.parametrize("stack", ["sandbox", "staging", "production"])
    def test_a_stack_file_loads_as_it_stands(self, stack: str) -> None:
        said, others = read_stack_file(ROOT / f"Pulumi.{stack}.yaml")
        made = resolve(stack, said, others)
        assert made.product == "lamp"
        assert others == []

    @pytest.mark.parametrize("stack", ["sandbox", "staging", "production"])
    def test_a_stack_file_carries_neither_salt_nor_encrypted_values(self, stack: str) -> None:
        text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
        assert "encryptionsalt" not in text
        assert "secure:" not in text

    @pytest.mark.parametrize("tier", ["sandbox", "testing", "small", "staging", "production"])
    def test_every_tier_makes_valid_settings(self, tier: str) -> None:
        assert resolve("x", {"tier": tier, "cluster": NAMED}).tier == tier

    def test_staging_and_production_have_the_same_shape(self) -> None:
        def shape(value: Any) -> Any:
            return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value).__name__

        made = [resolve(stack, read_stack_file(ROOT / f"Pulumi.{stack}.yaml")[0]).model_dump() for stack in ("staging", "production")]
        assert shape(made[0]) == shape(made[1])
