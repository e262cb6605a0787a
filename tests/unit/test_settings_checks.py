"""What does not work out is refused with its arithmetic, and what just does is not: both sides of every limit."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import Settings, SettingsError, neighbours, resolve
from settings.capacity import connections
from settings.footprint import Footprint, total
from settings.loader import read_stack_file
from settings.quantities import said_bytes, said_cores
from settings.types import seconds_of
from tests.unit.stacks import UNWATCHED

GIB = 2**30
NAMED = {"identifier": "company"}
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
NO_APP: dict[str, Any] = {
    "web": None,
    "sidekiq": None,
    "consumer": {"where": "none"},
    "canary": {"where": "none"},
    "release": None,
    "mqtt": {"where": "none"},
    "redis": None,
}
"""Postgres alone."""


def made(said: dict[str, Any], stack: str = "x") -> Settings:
    return resolve(stack, {"tier": "staging", "cluster": NAMED, **UNWATCHED, **said})


def refusal(said: dict[str, Any], stack: str = "x") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        made(said, stack)
    return caught.value.problems


def external(port: int = 5432, **said: Any) -> dict[str, Any]:
    return {"where": "external", "external": {"host": "db.example.com", "port": port, "password": "DB_PASSWORD", **said}}


def redis(port: int, policy: str, var: str, host: str = "redis.example.com") -> dict[str, Any]:
    return {"where": "external", "policy": policy, "config_var": var, "external": {"host": host, "port": port}}


PAIRS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "connections of the demo product",
        {"postgres": {"max_connections": 59}},
        {"postgres": {"max_connections": 60}},
        "postgres.max_connections: 59: the processes open up to 27 connections, and 52 while a release is rolled out: 2 x (web.web 5 x 2 "
        "+ sidekiq.alerts 5 x 1 + consumer 5 x 2) + release 2 x 1 = 52. 8 are kept for the superuser, backups and consoles, "
        "which leaves 51; "
        "expected at least 60, or fewer threads and replicas",
    ),
    (
        "connections of forked web processes",
        {**NO_APP, "web": {"web": {"threads": 8, "concurrency": 2, "replicas": 3}}, "postgres": {"max_connections": 103}},
        {**NO_APP, "web": {"web": {"threads": 8, "concurrency": 2, "replicas": 3}}, "postgres": {"max_connections": 104}},
        "postgres.max_connections: 103: the processes open up to 48 connections, and 96 while a release is rolled out: 2 x "
        "(web.web 2 x 8 x 3) "
        "= 96. 8 are kept for the superuser, backups and consoles, which leaves 95; "
        "expected at least 104, or fewer threads and replicas",
    ),
    (
        "a singleton is never two at once",
        {
            **NO_APP,
            "processes": {"clock": {"command": ["c"], "singleton": True, "config": {"DB_POOL": "33"}}},
            "postgres": {"max_connections": 40},
        },
        {
            **NO_APP,
            "processes": {"clock": {"command": ["c"], "singleton": True, "config": {"DB_POOL": "32"}}},
            "postgres": {"max_connections": 40},
        },
        "postgres.max_connections: 40: the processes open up to 33 connections, and 33 while a release is rolled out: "
        "processes.clock 33 x 1 "
        "= 33. 8 are kept for the superuser, backups and consoles, which leaves 32; "
        "expected at least 41, or fewer threads and replicas",
    ),
    (
        "an external database whose limit is said",
        {"postgres": {**external(), "max_connections": 20}},
        {"postgres": {**external(), "max_connections": 60}},
        "postgres.max_connections: 20: the processes open up to 27 connections, and 52 while a release is rolled out: 2 x (web.web 5 x 2 "
        "+ sidekiq.alerts 5 x 1 + consumer 5 x 2) + release 2 x 1 = 52. 8 are kept for the superuser, backups and consoles, "
        "which leaves 12; "
        "expected at least 60, or fewer threads and replicas",
    ),
    (
        "a pool smaller than Sidekiq's concurrency",
        {"sidekiq": {"alerts": {"concurrency": 8, "config": {"DB_POOL": "7"}}}},
        {"sidekiq": {"alerts": {"concurrency": 8, "config": {"DB_POOL": "8"}}}},
        "sidekiq.alerts.config.DB_POOL: '7': sidekiq.alerts.concurrency is 8: 8 threads would wait for 7 connections; expected at least 8, "
        "or leave it out",
    ),
    (
        "threads that are said for all and are too few for Sidekiq",
        {"sidekiq": {"alerts": {"concurrency": 6}}, "app": {"config": {"RAILS_MAX_THREADS": "5"}}},
        {"sidekiq": {"alerts": {"concurrency": 5}}, "app": {"config": {"RAILS_MAX_THREADS": "5"}}},
        "app.config.RAILS_MAX_THREADS: '5': sidekiq.alerts.concurrency is 6: 6 threads would wait for 5 connections; expected at least 6, "
        "or leave it out",
    ),
    (
        "a pool smaller than a web process's threads",
        {"web": {"web": {"threads": 5, "config": {"DB_POOL": "4"}}}},
        {"web": {"web": {"threads": 5, "config": {"DB_POOL": "5"}}}},
        "web.web.config.DB_POOL: '4': web.web.threads is 5: 5 threads would wait for 4 connections; expected at least 5, or leave it out",
    ),
    (
        "a pool that is no number",
        {"web": {"web": {"config": {"DB_POOL": "many"}}}},
        {"web": {"web": {"config": {"DB_POOL": "25"}}}},
        "web.web.config.DB_POOL: 'many': expected a number of connections",
    ),
    (
        "Redis data that leaves too little of the limit",
        {"redis": {"jobs": {"resources": {"memory": "91Mi"}}}},
        {"redis": {"jobs": {"resources": {"memory": "92Mi"}}}},
        "redis.jobs.resources.memory: '91Mi': maxmemory is 0.65 x 91Mi = 59.15Mi, which leaves 31.85Mi of the limit for the server itself; "
        "expected at least 32Mi: say more memory, or a smaller memory_share",
    ),
    (
        "a heap of more than half of the memory",
        {"elasticsearch": {"where": "cluster", "heap": "2049Mi", "resources": {"memory": "4Gi"}}},
        {"elasticsearch": {"where": "cluster", "heap": "2048Mi", "resources": {"memory": "4Gi"}}},
        "elasticsearch.heap: '2049Mi': expected at most half of elasticsearch.resources.memory, 4Gi / 2 = 2Gi: Lucene reads its "
        "files through "
        "the other half",
    ),
    (
        "a heap beyond compressed pointers",
        {"elasticsearch": {"where": "cluster", "heap": "31.1Gi", "resources": {"memory": "64Gi"}}},
        {"elasticsearch": {"where": "cluster", "heap": "31Gi", "resources": {"memory": "64Gi"}}},
        "elasticsearch.heap: '31.1Gi': expected at most 31Gi: above it Java's pointers double, and a larger heap holds less",
    ),
    (
        "a heap that the server would not give itself",
        {"elasticsearch": {"where": "cluster", "heap": "127Mi", "resources": {"memory": "1Gi"}}},
        {"elasticsearch": {"where": "cluster", "heap": "128Mi", "resources": {"memory": "1Gi"}}},
        "elasticsearch.heap: '127Mi': expected at least 128Mi, which the server gives itself on the smallest machine",
    ),
    (
        "memory that a search node takes before it holds anything",
        {"elasticsearch": {"where": "cluster", "resources": {"memory": "767Mi"}}},
        {"elasticsearch": {"where": "cluster", "resources": {"memory": "768Mi"}}},
        "elasticsearch.resources.memory: '767Mi': the heap is half of it, and a node takes 384Mi beside its heap before it holds anything; "
        "expected at least 768Mi: with less it is killed while it starts",
    ),
    (
        "memory that is too little beside a heap that is said",
        {"elasticsearch": {"where": "cluster", "heap": "128Mi", "resources": {"memory": "511Mi"}}},
        {"elasticsearch": {"where": "cluster", "heap": "128Mi", "resources": {"memory": "512Mi"}}},
        "elasticsearch.resources.memory: '511Mi': the heap is 128Mi, and a node takes 384Mi beside its heap before it holds anything; "
        "expected at least 512Mi: with less it is killed while it starts",
    ),
    (
        "a topic that a broker hangs up on",
        {"mqtt": {"queues": {"falls": {"topics": ["lamps/+/fall", "lamps/\n"]}}}},
        {"mqtt": {"queues": {"falls": {"topics": ["lamps/+/fall", "lamps/ä"]}}}},
        "mqtt.queues.falls.topics.1: 'lamps/\\n': expected a topic without control characters: a broker may hang up on whoever sends one",
    ),
    (
        "a queue's name with a control character",
        {"sidekiq": {"alerts": {"queues": ["alerts", "def\tault"]}}},
        {"sidekiq": {"alerts": {"queues": ["alerts", "default,2"]}}},
        "sidekiq.alerts.queues.1: 'def\\tault': expected 1 to 255 characters, none of them a control character",
    ),
    (
        "an even number of search nodes",
        {"elasticsearch": {"where": "cluster", "members": 2}},
        {"elasticsearch": {"where": "cluster", "members": 1}},
        "elasticsearch.members: 2: expected an odd number: of 2 half is no majority, so an even one more makes nothing safer",
    ),
    (
        "an even number of brokers",
        {"mqtt": {"members": 4}},
        {"mqtt": {"members": 5}},
        "mqtt.members: 4: expected an odd number: of 4 half is no majority, so an even one more makes nothing safer",
    ),
    (
        "a cache on the jobs' server",
        {"redis": {"jobs": redis(6379, "noeviction", "REDIS_URL"), "cache": redis(6379, "allkeys-lru", "CACHE_URL", "Redis.example.com")}},
        {"redis": {"jobs": redis(6379, "noeviction", "REDIS_URL"), "cache": redis(6380, "allkeys-lru", "CACHE_URL", "Redis.example.com")}},
        "redis.cache.policy: 'allkeys-lru': Redis.example.com:6379 also keeps the jobs of redis.jobs; a server has one policy for all its "
        "databases, so either jobs are thrown away or the cache fills it up: give the cache a server of its own",
    ),
    (
        "a cache where Sidekiq keeps its jobs",
        {"redis": {"jobs": {"policy": "allkeys-lru"}}},
        {"redis": {"jobs": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}}},
        "redis.jobs.policy: 'allkeys-lru': Sidekiq keeps its jobs at REDIS_URL, and a cache throws them away when it is full: "
        "say noeviction, "
        "or another config_var",
    ),
    (
        "production without its protection",
        {"tier": "production", "protect": False},
        {"tier": "staging", "protect": False},
        "protect: False: production keeps its protection; `./sy up --allow-data-loss STACK` lifts it for one run",
    ),
    (
        "a CA that nobody would look at",
        {"postgres": external(tls="require", ca=CA)},
        {"postgres": external(tls="verify-full", ca=CA)},
        "postgres.external.tls: 'require': would never look at ca: say verify-full, or verify-ca where the certificate has another name",
    ),
    (
        "a CA to verify that is not said",
        {"postgres": external(tls="verify-ca")},
        {"postgres": external(tls="verify-full")},
        "postgres.external.tls: 'verify-ca': needs ca, the certificate of the authority that signed the server's, as PEM; "
        "verify-full can do with "
        "the image's own",
    ),
    (
        "an external service behind no range",
        {"postgres": external(ranges=[])},
        {"postgres": external(ranges=["10.0.0.0/8"])},
        "postgres.external.ranges: expected a list of at least 1 item, not 0",
    ),
    (
        "an external address outside its ranges",
        {"postgres": external(host="10.2.0.1", ranges=["10.1.0.0/16"])},
        {"postgres": external(host="10.1.0.1", ranges=["10.1.0.0/16"])},
        "postgres.external.host: '10.2.0.1': the app could not reach it: it is in none of the ranges under postgres.external.ranges",
    ),
    (
        "a Redis database by name",
        {"redis": {"jobs": {"where": "external", "external": {"host": "r", "port": 6379, "database": "jobs"}}}},
        {"redis": {"jobs": {"where": "external", "external": {"host": "r", "port": 6379, "database": "3"}}}},
        "redis.jobs.external.database: 'jobs': expected the number of a database, in quotes, such as '0'",
    ),
    (
        "a host that is a URL",
        {"postgres": external(host="https://db.example.com")},
        {"postgres": external(host="db")},
        "postgres.external.host: 'https://db.example.com': expected a host name or an address, such as db.example.com or "
        "10.1.2.3 - did you mean "
        "db.example.com?",
    ),
    (
        "an image with half a digest",
        {"images": {"pinned": {"lamp": "registry.example.com/lamp@sha256:abc"}}},
        {"images": {"pinned": {"lamp": f"registry.example.com/lamp@sha256:{'a' * 64}"}}},
        "images.pinned.lamp: 'registry.example.com/lamp@sha256:abc': expected a digest of 64 digits and letters a-f after @sha256:, "
        "not 3 characters of 'sha256'",
    ),
    (
        "an image in capitals",
        {"app": {"image": "ghcr.io/Company/lamp:v1"}},
        {"app": {"image": "ghcr.io/company/lamp:v1"}},
        "app.image: 'ghcr.io/Company/lamp:v1': expected an image such as registry.example.com/lamp@sha256:…, in lower case and "
        "without https:// "
        "- did you mean ghcr.io/company/lamp:v1?",
    ),
    (
        "a time zone by its city alone",
        {"schedules": {"n": {"command": ["x"], "cron": "0 3 * * *", "time_zone": "paris"}}},
        {"schedules": {"n": {"command": ["x"], "cron": "0 3 * * *", "time_zone": "Europe/Paris"}}},
        "schedules.n.time_zone: 'paris': expected a time zone such as Europe/Paris or Etc/UTC - did you mean \"Europe/Paris\"?",
    ),
]


@pytest.mark.parametrize(("wrong", "sentence"), [(row[1], row[3]) for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_one_sentence_says_what_does_not_work_out(wrong: dict[str, Any], sentence: str) -> None:
    assert refusal(wrong) == [f"Pulumi.x.yaml: {sentence}"]


@pytest.mark.parametrize("right", [row[2] for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_what_just_works_out_is_taken(right: dict[str, Any]) -> None:
    made(right)


class TestConnections:
    def test_a_process_whose_threads_are_not_said_counts_as_rails_own_default(self) -> None:
        assert {part.path: part.each for part in connections(made({}))}[("consumer",)] == 5

    def test_what_config_vars_say_of_a_pool_counts(self) -> None:
        said = made({"consumer": {"config": {"RAILS_MAX_THREADS": "2"}}, "app": {"config": {"DB_POOL": "9"}}})
        assert {part.path: part.each for part in connections(said)}[("consumer",)] == 9

    def test_an_external_database_of_unknown_size_is_taken_on_trust(self) -> None:
        made({"postgres": external(), "web": {"web": {"replicas": 50}}})


class TestBudgets:
    BIG = {"cpu": "100", "memory": "100Gi", "storage": "1Ti"}

    def asked(self) -> Any:
        return total(made({}).footprint())

    @pytest.mark.parametrize(
        ("key", "less"),
        [("cpu", lambda asked: asked - Decimal("0.001")), ("memory", lambda asked: asked - 1), ("storage", lambda asked: asked - 1)],
    )
    def test_a_stack_fits_its_budget_to_the_last_bit(self, key: str, less: Any) -> None:
        asked = getattr(self.asked(), key)
        made({"budget": {**self.BIG, key: str(asked)}})
        [sentence] = refusal({"budget": {**self.BIG, key: str(less(asked))}})
        assert sentence.startswith(f"Pulumi.x.yaml: budget.{key}: '{less(asked)}': the stack asks for ")

    def test_the_sentence_has_the_sum_its_largest_part_first(self) -> None:
        said = {
            **NO_APP,
            "tier": "production",
            "postgres": {"members": 3},
            "redis": {"jobs": {}},
            "release": {"command": ["x"]},
            "web": {"web": {"replicas": 2}},
        }
        [sentence] = refusal({**said, "budget": {**self.BIG, "memory": "2Gi"}})
        assert sentence == (
            "Pulumi.x.yaml: budget.memory: '2Gi': the stack asks for 5.25Gi of memory while a release is rolled out, and the budget "
            "is 2Gi: "
            "postgres 3 x 1Gi + web 3 x 512Mi + release 1 x 512Mi + redis-jobs 1 x 256Mi"
        )

    def test_volumes_do_not_surge(self) -> None:
        [sentence] = refusal({**NO_APP, "postgres": {"volume": {"size": "10Gi"}}, "budget": {**self.BIG, "storage": "29Gi"}})
        assert "the stack asks for 30Gi of storage, and the budget is 29Gi: postgres 3 x 10Gi" in sentence

    def test_everything_that_exceeds_is_said(self) -> None:
        problems = refusal({"budget": {"cpu": "10m", "memory": "1Mi", "storage": "1Mi"}})
        assert [problem.split(": ")[1] for problem in problems] == ["budget.cpu", "budget.memory", "budget.storage"]

    def test_a_footprint_counts_pods_beside_the_replicas(self) -> None:
        said = {"tier": "production", "processes": {"clock": {"command": ["c"], "singleton": True}}}
        parts = {part.component: part for part in made(said).footprint()}
        assert (parts["web"].replicas, parts["web"].surge) == (2, 1)
        assert (parts["clock"].replicas, parts["clock"].surge) == (1, 0)
        assert (parts["release"].replicas, parts["release"].surge) == (0, 1)
        assert parts["postgres"] == Footprint("postgres", 3, 0, Decimal("0.25"), GIB, 10 * GIB, ("postgres",))


class TestCores:
    @pytest.mark.parametrize(
        ("said", "kept"), [(4, "4"), (0.5, "0.5"), (1.0, "1"), (0.001, "0.001"), (100.0, "100"), ("1500m", "1500m"), ("2", "2")]
    )
    def test_a_plain_number_is_kept_as_kubernetes_writes_it(self, said: Any, kept: str) -> None:
        assert made({"mqtt": {"resources": {"cpu": said}}}).mqtt.resources.cpu == kept

    def test_a_budget_in_plain_numbers_is_compared_like_one_in_text(self) -> None:
        made({"budget": {"cpu": 40, "memory": "100Gi", "storage": "1Ti"}})
        [sentence] = refusal({"budget": {"cpu": 0.5, "memory": "100Gi", "storage": "1Ti"}})
        assert sentence.startswith("Pulumi.x.yaml: budget.cpu: '0.5': the stack asks for ")


class TestPasswordsInClear:
    SENTINEL = "hunter2-Do-Not-Print"

    @pytest.mark.parametrize(
        ("said", "key"),
        [
            ({"app": {"config": {"A_URL": "%s"}}}, "app.config.A_URL"),
            ({"web": {"web": {"config": {"A_URL": "%s"}}}}, "web.web.config.A_URL"),
            ({"sidekiq": {"alerts": {"config": {"A_URL": "%s"}}}}, "sidekiq.alerts.config.A_URL"),
            ({"consumer": {"config": {"A_URL": "%s"}}}, "consumer.config.A_URL"),
            ({"processes": {"clock": {"command": ["c"], "config": {"A_URL": "%s"}}}}, "processes.clock.config.A_URL"),
            ({"schedules": {"n": {"command": ["c"], "cron": "0 3 * * *", "config": {"A_URL": "%s"}}}}, "schedules.n.config.A_URL"),
        ],
    )
    @pytest.mark.parametrize("address", ["postgres://user:%s@host", "rediss://:%s@host:6379/0", "see https://u:%s@h/x and http://y"])
    def test_an_address_with_a_password_is_refused_and_not_shown(self, said: dict[str, Any], key: str, address: str) -> None:
        config = yaml.safe_load(yaml.safe_dump(said).replace("%s", address % self.SENTINEL))
        assert refusal(config) == [
            f"Pulumi.x.yaml: {key}: a password in clear: name A_URL under app.secrets and set it with `pulumi config set --secret A_URL`"
        ]

    @pytest.mark.parametrize(
        "address",
        [
            "https://public-key@sentry.example.com/1",
            "http://host:8080/@user",
            "postgres://user:$(PASSWORD)@host",
            "postgres://user:${PASSWORD}@host",
            "https://host:8080/a:b@c",
            "mailto:help@example.com",
        ],
    )
    def test_an_address_without_one_is_taken(self, address: str) -> None:
        assert made({"app": {"config": {"A_URL": address}}}).app.config["A_URL"] == address


class TestGracePeriods:
    def test_each_is_longer_than_what_is_waited_for_inside(self) -> None:
        said = made({"web": {"web": {"stop_within": "90s"}}, "processes": {"p": {"command": ["p"], "stop_within": "10m"}}})
        for process in (*said.web.values(), *said.sidekiq.values(), *said.processes.values(), said.consumer):
            assert process.grace_seconds > seconds_of(process.stop_within)
        assert said.web["web"].grace_seconds > seconds_of("90s") + 5


class TestNamesOfOtherStacks:
    @pytest.fixture
    def house(self, tmp_path: Path) -> Path:
        tiers = tmp_path / "settings" / "tiers"
        tiers.mkdir(parents=True)
        (tmp_path / "product.yaml").write_text("product: lamp\n")
        for tier in ("production", "staging", "testing"):
            (tiers / f"{tier}.yaml").write_text("{}\n")
        self.file(tmp_path, "live", "production", domain="lamps.example.com", mqtt={"host_names": ["broker.example.com"]})
        return tmp_path

    def file(self, root: Path, name: str, tier: str, **said: Any) -> Path:
        config = {"tier": tier, "cluster": NAMED, **said}
        path = root / f"Pulumi.{name}.yaml"
        path.write_text(yaml.safe_dump({"config": {f"switchyard:{key}": value for key, value in config.items()}}, sort_keys=False))
        return path

    def problems(self, root: Path, name: str) -> list[str]:
        try:
            resolve(name, *read_stack_file(root / f"Pulumi.{name}.yaml"), root)
        except SettingsError as error:
            return error.problems
        return []

    @pytest.mark.parametrize("tier", ["staging", "testing"])
    def test_a_lower_tier_can_not_hold_productions_domain(self, house: Path, tier: str) -> None:
        self.file(house, "try", tier, domain="lamps.example.com")
        assert self.problems(house, "try") == [
            "Pulumi.try.yaml:5: domain: 'lamps.example.com': is also said in Pulumi.live.yaml:5: it is production's, "
            f"and a {tier} stack can not hold it"
        ]

    def test_two_stacks_of_one_tier_can_not_either(self, house: Path) -> None:
        self.file(house, "twin", "production", domain="lamps.example.com")
        [sentence] = self.problems(house, "twin")
        assert sentence.endswith("is also said in Pulumi.live.yaml:5: two stacks can not hold one name")

    def test_a_domain_below_productions_is_another_one(self, house: Path) -> None:
        self.file(house, "try", "staging", domain="staging.lamps.example.com")
        assert self.problems(house, "try") == []

    def test_the_broker_can_not_have_anothers_name(self, house: Path) -> None:
        self.file(house, "try", "staging", mqtt={"host_names": ["broker.example.com"], "where": "cluster"})
        [sentence] = self.problems(house, "try")
        assert sentence.startswith("Pulumi.try.yaml:6: mqtt.host_names: 'broker.example.com': is also said in Pulumi.live.yaml:")

    def test_the_name_that_a_domain_gives_the_broker_counts_too(self, house: Path) -> None:
        self.file(house, "a", "staging", domain="a.example.com")
        self.file(house, "b", "staging", mqtt={"where": "cluster", "host_names": ["mqtt.a.example.com"]})
        [sentence] = self.problems(house, "b")
        assert "is also said in Pulumi.a.yaml:5" in sentence

    def test_a_file_that_is_broken_is_not_this_stacks_matter(self, house: Path) -> None:
        (house / "Pulumi.broken.yaml").write_text("config: [lamps.example.com")
        self.file(house, "try", "staging", domain="try.example.com")
        assert self.problems(house, "try") == []

    def test_a_domain_in_the_shared_layer_would_be_everybodys(self, house: Path) -> None:
        (house / "product.yaml").write_text("product: lamp\ndomain: everybody.example.com\n")
        self.file(house, "try", "staging")
        assert self.problems(house, "try") == [
            "product.yaml:2: domain: 'everybody.example.com': all stacks would share it: say it in each stack's own file"
        ]

    def test_two_stacks_in_one_cluster_can_not_say_one_namespace(self, house: Path) -> None:
        self.file(house, "a", "staging", namespace="lamps")
        self.file(house, "b", "staging", namespace="lamps")
        assert self.problems(house, "b") == [
            "Pulumi.b.yaml:5: namespace: 'lamps': is also the namespace of Pulumi.a.yaml:5 in the cluster company: "
            "two stacks can not hold one namespace; say another one with `namespace:`"
        ]
        assert len(self.problems(house, "a")) == 1

    def test_a_namespace_made_of_the_stacks_name_counts_on_either_side(self, house: Path) -> None:
        self.file(house, "try", "staging", namespace="lamp-live")
        assert self.problems(house, "try") == [
            "Pulumi.try.yaml:5: namespace: 'lamp-live': is also the namespace of Pulumi.live.yaml by default in the cluster company: "
            "it is production's, and a staging stack can not hold it; say another one with `namespace:`"
        ]
        [sentence] = self.problems(house, "live")
        assert sentence.startswith("Pulumi.live.yaml: namespace: 'lamp-live' by default: is also the namespace of Pulumi.try.yaml:5 in")

    def test_two_names_that_products_make_the_same_are_one_namespace(self, house: Path) -> None:
        self.file(house, "eu-x", "staging")
        self.file(house, "x", "staging", product="lamp-eu")
        assert len(self.problems(house, "x")) == len(self.problems(house, "eu-x")) == 1

    def test_a_namespace_of_the_shared_layer_is_one_for_all_in_a_cluster(self, house: Path) -> None:
        (house / "product.yaml").write_text("product: lamp\nnamespace: lamps\n")
        self.file(house, "a", "staging")
        assert "is also the namespace of Pulumi.live.yaml in the cluster company" in self.problems(house, "a")[0]

    def test_another_cluster_has_namespaces_of_its_own(self, house: Path) -> None:
        self.file(house, "a", "staging", namespace="lamps")
        self.file(house, "b", "staging", namespace="lamps", cluster={"identifier": "company-2"})
        self.file(house, "c", "staging", namespace="lamp-live", cluster={"identifier": "elsewhere"})
        assert [self.problems(house, name) for name in "abc"] == [[], [], []]

    def test_a_namespace_that_only_begins_like_anothers_is_another_one(self, house: Path) -> None:
        self.file(house, "a", "staging", namespace="lamps")
        self.file(house, "b", "staging", namespace="lamps-2")
        assert [self.problems(house, name) for name in "ab"] == [[], []]

    @pytest.mark.parametrize("line", ["'lamps'", '"lamps"', "&n lamps", ">-\n    lamps", "\n    lamps", "lamps # ours"])
    def test_however_yaml_writes_the_namespace_it_is_found(self, house: Path, line: str) -> None:
        text = f"config:\n  switchyard:tier: staging\n  switchyard:cluster: {{identifier: company}}\n  switchyard:namespace: {line}\n"
        (house / "Pulumi.a.yaml").write_text(text)
        self.file(house, "b", "staging", namespace="lamps")
        assert len(self.problems(house, "b")) == 1

    def test_stacks_on_the_sandbox_are_told_apart_too(self, house: Path) -> None:
        (house / "settings" / "tiers" / "sandbox.yaml").write_text("cluster: {identifier: sandbox}\n")
        for name in ("a", "b"):
            file = house / f"Pulumi.{name}.yaml"
            file.write_text("config: {'switchyard:tier': sandbox, 'switchyard:namespace': lamps}\n")
        [sentence] = self.problems(house, "b")
        assert "is also the namespace of Pulumi.a.yaml:1 in the cluster sandbox" in sentence

    @pytest.mark.parametrize("theirs", [{"where": "none"}, {"where": "shared", "namespace": "elsewhere"}])
    def test_lines_are_not_sent_to_a_stack_that_runs_no_loki(self, house: Path, theirs: dict[str, str]) -> None:
        self.file(house, "lender", "staging", logs=theirs)
        self.file(house, "try", "staging", logs={"where": "shared", "namespace": "lamp-lender"})
        assert self.problems(house, "try") == [
            f"Pulumi.try.yaml:7: logs.namespace: 'lamp-lender': is the namespace of Pulumi.lender.yaml:6, which runs no Loki "
            f"(logs.where: {theirs['where']}): name that of a stack that does, or say where: cluster"
        ]

    def test_a_stack_that_says_nothing_of_logs_runs_no_loki_either(self, house: Path) -> None:
        self.file(house, "lender", "staging", namespace="lamps")
        self.file(house, "try", "staging", logs={"where": "shared", "namespace": "lamps"})
        [sentence] = self.problems(house, "try")
        assert "is the namespace of Pulumi.lender.yaml, which runs no Loki (logs.where: none)" in sentence

    def test_a_loki_that_is_there_or_that_no_file_here_speaks_of_is_taken(self, house: Path) -> None:
        self.file(house, "lender", "staging", logs={"where": "cluster"})
        self.file(house, "elsewhere", "staging", cluster={"identifier": "company-2"})
        for name, namespace in (("a", "lamp-lender"), ("b", "lamp-elsewhere"), ("c", "shop-production")):
            self.file(house, name, "staging", logs={"where": "shared", "namespace": namespace})
            assert self.problems(house, name) == []

    def test_fifty_stacks_that_say_nothing_of_ours_are_not_read_as_yaml(self, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(50):
            self.file(house, f"n{number}", "staging", namespace=f"lamps-{number}", domain=f"n{number}.example.com")
        self.file(house, "try", "staging", namespace="lamps", domain="try.example.com")
        read: list[str] = []
        real = neighbours.stack_document
        monkeypatch.setattr(neighbours, "stack_document", lambda file: read.append(file.name) or real(file))
        assert (self.problems(house, "try"), read) == ([], [])


class TestEverythingAtOnce:
    def test_types_names_and_sums_are_said_together(self) -> None:
        problems = refusal(
            {
                "postgres": {"max_connections": 20},
                "mqtt": {"members": 2, "resources": {"memory": "1GB"}},
                "web": {"web": {"threads": "5"}},
                "redis": {"jobs": {"policy": "allkeys-lru"}},
            }
        )
        keys = [problem.split(": ")[1] for problem in problems]
        assert keys == ["web.web.threads", "mqtt.resources.memory", "mqtt.members", "redis.jobs.policy"]

    def test_a_sum_says_nothing_while_one_of_its_terms_is_wrong(self) -> None:
        [sentence] = refusal({"postgres": {"max_connections": 20}, "web": {"web": {"threads": "5"}}})
        assert "web.web.threads" in sentence

    @pytest.mark.parametrize(
        ("said", "key"),
        [
            ({"product": None, "mqtt": {"members": 2}}, "product"),
            ({"cluster": {"identifier": None}, "mqtt": {"members": 2}}, "cluster.identifier"),
            ({"cluster": None, "mqtt": {"members": 2}}, "cluster.identifier"),
            ({"tier": "prod", "mqtt": {"members": 2}}, "tier"),
            ({"processes": {"p": {}}, "mqtt": {"members": 2}}, "processes.p.command"),
            ({"edge": {"ranges": ["x", "y"]}, "mqtt": {"members": 2}}, "edge.ranges.0"),
            ({"web": {"A_B": {"command": ["x"]}}, "mqtt": {"members": 2}}, "web.A_B"),
            ({"budget": {"cpu": "1"}, "mqtt": {"members": 2}}, "budget.memory"),
        ],
    )
    def test_what_is_missing_or_wrong_does_not_hide_the_rest(self, said: dict[str, Any], key: str) -> None:
        problems = refusal(said)
        assert any(f": {key}: " in problem for problem in problems), problems
        assert any(": mqtt.members: 2: " in problem for problem in problems), problems

    def test_the_identifier_is_asked_for_with_its_reason(self) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", {"tier": "staging"})
        assert caught.value.problems == [
            "Pulumi.x.yaml: cluster.identifier: is missing; set it in Pulumi.x.yaml: the cluster's lasting name, of your own choice, "
            "such as "
            "company-production. Without one a changed kubeconfig would look like another cluster, and every resource would be deleted and "
            "made again"
        ]

    def test_an_empty_identifier_is_none(self) -> None:
        [sentence] = refusal({"cluster": {"identifier": ""}})
        assert sentence.startswith("Pulumi.x.yaml: cluster.identifier: is empty: the cluster's lasting name")

    def test_a_sum_names_the_line_of_the_key_that_sets_the_limit(self, tmp_path: Path) -> None:
        tiers = tmp_path / "settings" / "tiers"
        tiers.mkdir(parents=True)
        (tmp_path / "product.yaml").write_text("product: lamp\nweb: {web: {command: [puma], threads: 50}}\n")
        (tiers / "staging.yaml").write_text("postgres:\n  members: 1\n  max_connections: 30\n")
        with pytest.raises(SettingsError) as caught:
            resolve("x", {"tier": "staging", "cluster": NAMED}, root=tmp_path)
        [sentence] = caught.value.problems
        assert sentence.startswith("settings/tiers/staging.yaml:3: postgres.max_connections: 30: the processes open up to 100 connections")


class TestPartsOfDefaults:
    def test_what_is_said_of_one_key_leaves_the_others_as_they_are(self) -> None:
        said = made({"tier": "production", "postgres": {"resources": {"memory": "2Gi"}}, "mqtt": {"volume": {"storage_class": "fast"}}})
        assert (said.postgres.resources.cpu, said.postgres.resources.memory) == ("250m", "2Gi")
        assert (said.mqtt.volume.size, said.mqtt.volume.storage_class) == ("5Gi", "fast")

    def test_in_a_named_process_too(self) -> None:
        said = made({"processes": {"p": {"command": ["p"], "resources": {"cpu": "2"}}}})
        assert (said.processes["p"].resources.cpu, said.processes["p"].resources.memory) == ("2", "512Mi")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1Ki"), (1536 * 2**20, "1.5Gi"), (30 * GIB, "30Gi"), (1024 * GIB, "1Ti"), (12345678, "11.77Mi")],
)
def test_bytes_are_written_as_people_write_them(amount: int, text: str) -> None:
    assert said_bytes(amount) == text


@pytest.mark.parametrize(("amount", "text"), [("0.25", "250m"), ("1", "1"), ("1.50", "1.5"), ("10", "10")])
def test_cores_are_written_as_people_write_them(amount: str, text: str) -> None:
    assert said_cores(Decimal(amount)) == text
