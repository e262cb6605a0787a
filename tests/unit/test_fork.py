"""A fork: what its file says, why one is refused, what is left of one that was undone, and what it still needs."""

import re
from pathlib import Path

import pytest
import yaml

from cli import checks, fork, fork_file, fork_removal, parity, readiness
from cli.engine import state_file
from cli.environment import local_workspace
from cli.fork_file import Wish
from cli.root import GROUPS
from cli.stack import Stack
from rendering import render
from settings import SettingsError, resolve
from settings.backing import NOWHERE
from settings.footprint import total
from tests.unit.checkout import checkout
from tests.unit.stacks import UNWATCHED
from tools.errors import UserError
from tools.paths import ROOT
from tools.progress import Progress

DIGEST = f"registry.lamps.example/lamp@sha256:{'a' * 64}"
CLUSTER = {"identifier": "company-production", "storage_class": "fast"}
PRODUCTION = {"tier": "production", "domain": "lamps.example", "cluster": CLUSTER, "edge": {"namespaces": ["gateway"]}}
STAGING = {"tier": "staging", "domain": "staging.lamps.example", "cluster": {"identifier": "company-staging"}}
SECRET = {"secure": "v1:sentinel-sentinel"}


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SWITCHYARD_STATE", str(tmp_path / "state"))
    for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "checkout").mkdir()
    return checkout(tmp_path / "checkout", {"production": PRODUCTION, "staging": STAGING})


def add(root, name="production", **said):
    """Say more in a stack's file."""
    file = root / f"Pulumi.{name}.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"] |= {f"switchyard:{key}": value for key, value in said.items()}
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def made(root, name="bright-homes", domain="lamps.bright-homes.example", tier=None, cluster=None, source="production"):
    """Return a fork, and what its file says under switchyard:."""
    wish = fork.wanted(source, name, domain, tier, cluster, root)
    forked = fork_file.make(wish)
    return forked, {key.removeprefix("switchyard:"): value for key, value in forked.document["config"].items()}


def forked(root, name="bright-homes", domain="lamps.bright-homes.example", tier=None, cluster=None, source="production"):
    """Make a fork as the command does, and return its file."""
    progress = Progress()
    try:
        fork.create(fork.wanted(source, name, domain, tier, cluster, root), progress, root)
    finally:
        progress.close()
    return root / f"Pulumi.{name}.yaml"


# What its file says


def test_a_fork_says_what_must_differ_and_what_its_source_says_for_itself(root):
    file = forked(root)
    assert yaml.safe_load(file.read_text()) == {
        "config": {
            "switchyard:tier": "production",
            "switchyard:domain": "lamps.bright-homes.example",
            "switchyard:cluster": CLUSTER,
            "switchyard:edge": {"namespaces": ["gateway"]},
        }
    }
    assert file.read_text().startswith("# A fork of production: ")


def test_a_fork_runs_the_same_digests_from_the_same_registry(root):
    add(root, images={"registry": "registry.lamps.example", "pinned": {"lamp": DIGEST}})
    assert made(root)[1]["images"] == {"registry": "registry.lamps.example", "pinned": {"lamp": DIGEST}}


def test_no_host_name_of_the_source_is_left_and_names_that_only_look_like_it_stay(root):
    config = {
        "HOST": "lamps.example",
        "MAIL_FROM": "help@lamps.example",
        "CABLE": "wss://cable.lamps.example/cable",
        "BROKER": "old-broker.example",
        "OTHERS": "streetlamps.example lamps.example.com",
        "INSIDE": "postgres.lamp-production.svc",
    }
    add(root, app={"config": config}, mqtt={"host_names": ["mqtt.lamps.example", "old-broker.example"]})
    done, said = made(root)
    assert said["app"]["config"] == {
        "HOST": "lamps.bright-homes.example",
        "MAIL_FROM": "help@lamps.bright-homes.example",
        "CABLE": "wss://cable.lamps.bright-homes.example/cable",
        "BROKER": "mqtt.lamps.bright-homes.example",
        "OTHERS": "streetlamps.example lamps.example.com",
        "INSIDE": "postgres.lamp-bright-homes.svc",
    }
    assert "mqtt" not in said
    assert "app.config.HOST: lamps.bright-homes.example (was lamps.example)" in done.renamed


def test_a_forks_canary_does_not_dial_the_sources_broker(root):
    add(root, canary={"host": "devices.lamps-iot.example"})
    assert made(root)[1]["canary"]["host"] == "mqtt.lamps.bright-homes.example"


def test_a_fork_of_a_fork_whose_domain_holds_the_sources_is_not_renamed_twice(root):
    add(root, app={"config": {"HOST": "lamps.example"}})
    assert made(root, domain="lamps.example.org")[1]["app"]["config"]["HOST"] == "lamps.example.org"


def test_nothing_secret_is_copied(root):
    add(root, SENTRY_DSN=SECRET, app={"secrets": ["SENTRY_DSN", "MAILER"]})
    file = root / "Pulumi.production.yaml"
    document = yaml.safe_load(file.read_text())
    document |= {"encryptionsalt": "v1:sentinel", "secretsprovider": "awskms://sentinel", "encryptedkey": "sentinel"}
    document["config"] |= {"aws:token": SECRET, "other:nested": {"deep": [SECRET]}, "aws:region": "eu-central-1"}
    file.write_text(yaml.safe_dump(document))
    text = forked(root).read_text()
    assert "sentinel" not in text and "secure" not in text
    assert yaml.safe_load(text)["config"]["aws:region"] == "eu-central-1"
    assert Stack.load("bright-homes", root=root).missing_secrets() == ["MAILER", "SENTRY_DSN"]


def test_an_address_with_a_password_in_it_is_not_copied_and_said(root):
    add(root, mqtt={"annotations": {"dns": "https://user:hunter2@dns.example/", "plain": "https://dns.example/"}})
    done, said = made(root)
    assert said["mqtt"]["annotations"] == {"plain": "https://dns.example/"}
    assert done.left_out == ["mqtt.annotations.dns: there is a password in it; set it as a secret"]


def test_a_source_with_a_password_in_its_config_vars_is_refused_before_anything_is_copied(root):
    add(root, app={"config": {"SEARCH": "https://user:hunter2@search.example/"}})
    with pytest.raises(SettingsError, match=r"app\.config\.SEARCH: a password in clear") as caught:
        made(root)
    assert "hunter2" not in str(caught.value)


def test_a_fork_gets_no_database_and_no_broker_of_its_source(root):
    outside = {"host": "db.company.example", "port": 5432, "user": "u", "password": "DB_PASSWORD", "ranges": ["10.9.8.7/32"]}
    broker = {"host": "mqtt.company.example", "port": 8883}
    add(root, postgres={"where": "external", "external": outside}, redis={"jobs": {"where": "external", "external": broker}})
    said = made(root)[1]
    assert said["postgres"]["external"] == {"host": f"postgres.bright-homes{NOWHERE}", "port": 5432, "user": "u", "password": "DB_PASSWORD"}
    assert said["redis"]["jobs"]["external"]["host"] == f"redis-jobs.bright-homes{NOWHERE}"
    forked(root)
    assert "company.example" not in str(render("bright-homes", root).as_json())


def test_identity_and_protection_are_not_copied(root):
    add(root, "staging", protect=False, namespace="lamps", app={"rotation": 3, "service_account_annotations": {"role": "arn:staging"}})
    done, said = made(root, source="staging")
    assert not {"protect", "namespace", "app"} & set(said)
    assert "app.service_account_annotations: it is the source's own" in done.left_out


def test_addresses_and_maintenance_are_the_sources_own_and_hosts_of_routes_become_the_forks(root):
    routes = {"web": {"hosts": ["www.lamps.example"]}}
    add(root, edge={"where": "gateway", "address": "203.0.113.7", "maintenance": True, "routes": routes}, mqtt={"address": "203.0.113.8"})
    done, said = made(root)
    assert said["edge"]["routes"] == {"web": {"hosts": ["www.lamps.bright-homes.example"]}}
    assert not {"address", "maintenance"} & {*said["edge"], *said.get("mqtt", {})}
    assert "edge.address: it is the source's own" in done.left_out


def test_the_same_tier_keeps_sizes_and_another_tier_says_its_own(root):
    add(
        root,
        postgres={"members": 5, "major": 16},
        redis={"cache": {"policy": "allkeys-lru", "config_var": "CACHE", "resources": {"memory": "2Gi"}}},
    )
    add(root, budget={"cpu": "12", "memory": "40Gi", "storage": "300Gi"})
    same, small = made(root)[1], made(root, tier="small")[1]
    assert same["postgres"] == {"members": 5, "major": 16} and same["budget"]["memory"] == "40Gi"
    assert small["postgres"] == {"major": 16} and "budget" not in small
    assert small["redis"] == {"cache": {"policy": "allkeys-lru", "config_var": "CACHE"}}


def test_a_process_may_be_called_as_a_setting_is(root):
    add(root, sidekiq={"volume": {"queues": ["volume"], "replicas": 2}})
    assert made(root, tier="small")[1]["sidekiq"] == {"volume": {"queues": ["volume"]}}


def test_on_the_sandbox_nothing_is_left_of_the_sources_cluster(root):
    add(root, images={"pinned": {"lamp": DIGEST}}, placement={"node_selector": {"pool": "a"}}, postgres={"volume": {"storage_class": "x"}})
    said = made(root, cluster="sandbox")[1]
    assert said["cluster"] == {"identifier": "sandbox"}
    assert not {"images", "edge", "placement"} & set(said)
    assert said["postgres"] == {"volume": {}}
    forked(root, cluster="sandbox")
    assert Stack.load("bright-homes", root=root).on_sandbox


def test_what_still_names_the_source_is_pointed_at(root):
    add(root, app={"config": {"BUCKET": "lamps-production-uploads", "RAILS_ENV": "production", "KIND": "reproduction"}})
    assert made(root)[0].suspicious == ["app.config.BUCKET: lamps-production-uploads has the source's name in it"]


def test_no_name_and_no_host_of_the_source_is_in_what_a_fork_renders(root):
    add(root, mqtt={"host_names": ["mqtt.lamps.example"]}, app={"config": {"HOST": "lamps.example"}})
    forked(root)
    text = str(render("bright-homes", root).as_json())
    assert "lamps.bright-homes.example" in text
    for word in ("lamp-production", "lamp.production", "'lamps.example'", "mqtt.lamps.example"):
        assert word not in text, word


def test_a_fork_can_be_forked(root):
    forked(root)
    file = forked(root, name="night-watch", domain="lamps.night-watch.example", source="bright-homes")
    assert file.read_text().startswith("# A fork of bright-homes: ") and "lamps.bright-homes.example" not in file.read_text()


# Why one is refused


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"name": "Bright_Homes"}, "'Bright_Homes' is no DNS label"),
        ({"name": "bright.homes"}, "'bright.homes' is no DNS label"),
        ({"name": "1st"}, "'1st' is no DNS label"),
        ({"name": "bright-"}, "'bright-' is no DNS label"),
        ({"name": ""}, "'' is no DNS label"),
        ({"name": "staging"}, "stack staging is there already: Pulumi.staging.yaml"),
        ({"name": "a" * 52}, "is 1 characters too long"),
        ({"domain": "lamps"}, "'lamps' is no host name"),
        ({"domain": "https://lamps.org"}, "is no host name"),
        ({"domain": "under_score.example"}, "is no host name"),
        ({"domain": f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.example"}, "is too long"),
        ({"domain": "lamps.example"}, "lamps.example is stack production's"),
        ({"domain": "LAMPS.example"}, "lamps.example is stack production's"),
        ({"domain": "mqtt.lamps.example"}, "mqtt.lamps.example is stack production's"),
        ({"domain": "staging.lamps.example"}, "staging.lamps.example is stack staging's"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_it_is_refused_with_the_reason_and_nothing_is_written(root, wish, reason):
    before = sorted(root.iterdir())
    with pytest.raises(SettingsError) as refused:
        forked(root, **wish)
    assert any(reason in problem for problem in refused.value.problems), refused.value.problems
    assert "nothing was written" in refused.value.problems
    assert sorted(root.iterdir()) == before


def test_the_longest_name_there_can_be_is_accepted(root):
    assert forked(root, name="a" * 51).is_file()


def test_a_host_name_that_another_stack_says_for_its_devices_is_taken(root):
    add(root, "staging", mqtt={"host_names": ["mqtt.lamps.bright-homes.example"]})
    with pytest.raises(SettingsError, match=r"mqtt\.lamps\.bright-homes\.example is stack staging's"):
        forked(root)


def test_every_reason_is_said_at_once(root):
    with pytest.raises(SettingsError) as refused:
        forked(root, name="staging", domain="lamps.example")
    assert len(refused.value.problems) == 3


def test_a_source_that_is_not_there_is_named_with_those_that_are(root):
    with pytest.raises(UserError, match=r"no stack 'productoin'.*production, staging"):
        forked(root, source="productoin")


def test_a_source_that_is_wrong_itself_is_refused_with_what_is_wrong(root):
    add(root, postgres={"membres": 3})
    with pytest.raises(SettingsError) as refused:
        forked(root)
    assert refused.value.problems[0] == "stack production does not preview itself, so nothing was forked from it"
    assert "postgres.membres: unknown key" in refused.value.problems[1]
    assert not (root / "Pulumi.bright-homes.yaml").exists()


def test_a_fork_that_would_be_no_stack_is_not_written(root):
    (root / "settings" / "tiers" / "small.yaml").write_text("postgres: {membres: 1}\n")
    with pytest.raises(SettingsError, match="would be no stack, so nothing was written"):
        forked(root, tier="small")
    assert not (root / "Pulumi.bright-homes.yaml").exists()


def test_a_name_that_the_sandboxs_state_has_is_taken(root):
    state = state_file(local_workspace().backend, "bright-homes")
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    with pytest.raises(SettingsError, match=r"the sandbox's state on this machine has a stack bright-homes.*fork --remove bright-homes"):
        forked(root, cluster="sandbox")


def test_a_file_that_appears_meanwhile_is_not_written_over(root):
    file = root / "Pulumi.late.yaml"
    file.write_text("config: {}\n")
    with pytest.raises(UserError, match="is there already"):
        fork._write_new(file, "another")
    assert file.read_text() == "config: {}\n" and len(list(root.glob(".Pulumi*"))) == 0


# Undone


def test_a_fork_that_nothing_was_made_of_is_removed_with_its_effective_file(root):
    file = forked(root, cluster="sandbox")
    effective = local_workspace().stacks / file.name
    effective.parent.mkdir(parents=True)
    effective.write_text("config: {}\n")
    fork_removal.remove("bright-homes", True, root)
    assert not file.exists() and not effective.exists()


def test_what_is_no_text_is_not_removed(root):
    (root / "Pulumi.odd.yaml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="does not begin as the file of a fork"):
        fork_removal.remove("odd", True, root)


def test_what_is_no_fork_is_not_removed(root):
    with pytest.raises(UserError, match="does not begin as the file of a fork"):
        fork_removal.remove("staging", True, root)
    assert (root / "Pulumi.staging.yaml").is_file()


def test_a_fork_that_somebody_made_a_stack_of_is_kept_while_its_backend_can_not_be_asked(root):
    file = forked(root)
    file.write_text(f"{file.read_text()}encryptionsalt: v1:salt\n")
    with pytest.raises(UserError, match="log in to the backend"):
        fork_removal.remove("bright-homes", True, root)
    assert file.is_file()


def test_a_fork_that_is_not_there_can_not_be_removed(root):
    with pytest.raises(UserError, match="there is no fork bright-homes"):
        fork_removal.remove("bright-homes", True, root)


# What it still needs


def points(root, name="bright-homes", resolver=lambda _host: set()):
    progress = Progress()
    progress.close()
    return {point.what: point for point in readiness.points(Stack.load(name, root=root), None, progress, resolver)}


def test_the_apps_own_image_is_pinned_by_its_reference_and_the_others_are_copied(root):
    add(root, app={"image": "shop"})
    forked(root)
    said = points(root)["images"].says
    assert "shop without a digest: ./sy images pin shop=REGISTRY/shop@sha256:… -s bright-homes; " in said
    assert said.endswith("./sy images push -s bright-homes && ./sy images pin -s bright-homes") and said.count("shop without") == 1


def test_a_new_fork_is_told_each_thing_that_it_needs_with_its_state(root):
    add(root, app={"secrets": ["SENTRY_DSN"]})
    forked(root)
    found = points(root)
    assert {what: point.state for what, point in found.items()} == {
        "secret SENTRY_DSN": "open",
        "state and key": "open",
        "images": "open",
        "cluster": "open",
        "up": "open",
        "log lines": "later",
        "DNS lamps.bright-homes.example": "open",
        "DNS mqtt.lamps.bright-homes.example": "later",
        "certificate": "later",
        "first account": "later",
        "fall": "later",
    }
    assert found["secret SENTRY_DSN"].says == "is not set: pulumi -s bright-homes config set --secret SENTRY_DSN"


def test_a_service_outside_without_a_host_is_open_until_it_has_one(root):
    add(root, postgres={"where": "external", "external": {"host": "db.company.example", "port": 5432, "password": "DB_PASSWORD"}})
    file = forked(root)
    assert points(root)["postgres"].state == "open"
    with pytest.raises(SettingsError) as refused:
        checks.refuse_lacks(Stack.load("bright-homes", root=root))
    assert any("'postgres.bright-homes.invalid' is nobody's" in problem for problem in refused.value.problems)
    assert any("`pulumi -s bright-homes config set --secret DB_PASSWORD`" in problem for problem in refused.value.problems)
    file.write_text(file.read_text().replace(f"postgres.bright-homes{NOWHERE}", "db.bright-homes.example"))
    assert points(root)["postgres"].state == "done"


def test_a_stack_with_the_key_of_another_is_told_so(root, monkeypatch):
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
    file = root / "Pulumi.staging.yaml"
    file.write_text(f"{file.read_text()}encryptionsalt: v1:salt\n")
    assert points(root, "staging")["state and key"].state == "done"
    other = root / "Pulumi.production.yaml"
    other.write_text(f"{other.read_text()}encryptionsalt: v1:salt\n")
    assert "has the key of stack production" in points(root, "staging")["state and key"].says


@pytest.mark.parametrize(
    ("found", "broker", "state"),
    [
        ({"192.0.2.1"}, "192.0.2.1", "done"),
        ({"192.0.2.1", "192.0.2.2"}, "lb.cloud.example", "done"),
        ({"192.0.2.9"}, "192.0.2.1", "open"),
        (set(), "192.0.2.1", "open"),
        ({"192.0.2.1"}, "", "later"),
    ],
)
def test_a_name_that_devices_dial_must_lead_to_the_brokers_load_balancer(root, found, broker, state):
    known = {"192.0.2.1": {"192.0.2.1"}, "lb.cloud.example": {"192.0.2.2"}}
    point = readiness._device_name(
        Stack.load("production", root=root), "mqtt.lamps.example", found, broker, lambda host: known.get(host, set())
    )
    assert point.state == state, point.says


def test_a_broker_that_shows_no_certificate_is_open(root):
    outputs = {"mqtt": {"host": "127.0.0.1", "port": 1, "server_name": "mqtt.lamps.example", "ca": ""}}
    point = readiness._certificate(Stack.load("production", root=root), outputs)
    assert point.state == "open" and "127.0.0.1:1 shows none for mqtt.lamps.example" in point.says


def test_the_wish_names_what_is_derived_from_it(root):
    wish = Wish(Stack.load("production", root=root), "x", "x.example", "small", on_sandbox=False)
    assert (wish.namespace, wish.owner, wish.resized) == ("lamp-x", "lamp.x", True)
    assert isinstance(root, Path)


# The tier for few lamps, and the page that says it all


def test_the_demo_on_the_small_tier_fits_2_gib_also_while_a_release_is_rolled_out(root):
    budget = {"cpu": "1", "memory": "2Gi", "storage": "8Gi"}
    product = {"tier": "small", "cluster": {"identifier": "company"}, **UNWATCHED}
    assert resolve("x", product | {"budget": budget}, root=root).protect
    with pytest.raises(SettingsError, match=r"budget\.memory"):
        resolve("x", product | {"budget": budget | {"memory": "1900Mi"}}, root=root)


def test_what_watches_the_small_tier_comes_on_top_and_the_page_says_how_much(root):
    small = {"tier": "small", "cluster": {"identifier": "company"}}
    watched, product = (total(resolve("x", said, root=root).footprint()) for said in (small, small | UNWATCHED))
    assert (watched.memory - product.memory) // 2**20 == 816
    assert (watched.storage - product.storage) // 2**30 == 5
    page = (ROOT / "docs" / "new-reseller.md").read_text()
    assert "2 GiB of memory for the product, and 816 MiB of memory and 5 GiB of volumes for its logs, metrics and alerts" in page


def test_a_new_reseller_takes_ten_steps_whose_commands_exist():
    page = (ROOT / "docs" / "new-reseller.md").read_text()
    assert re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE) == [str(number) for number in range(1, 11)]
    commands = {name for group in GROUPS.values() for name in group}
    named = set(re.findall(r"\./sy ([a-z]+)", page))
    assert {"fork", "ready", "up", "destroy"} <= named
    assert named <= commands


class TestParityOfAForkOfAnotherTier:
    """`sy parity SOURCE FORK --resized` takes the source as a fork of that tier would be."""

    ALLOWED = "allowed: []\n"

    def judge(self, root):
        (root / "parity.yaml").write_text(self.ALLOWED)
        return parity.judge("production", "bright-homes", root / "parity.yaml", root, as_resized=True)

    def test_it_is_the_same_though_every_size_differs(self, root):
        forked(root, tier="small")
        judged = self.judge(root)
        assert (judged.holds, judged.allowed) == (True, [])
        assert "production is taken as a fork of it would be, of tier small" in judged.notes
        assert not parity.judge("production", "bright-homes", root / "parity.yaml", root).holds

    def test_what_its_file_adds_is_found(self, root):
        forked(root, tier="small")
        add(root, "bright-homes", web={"web": {"probes": {"ready": "/other"}}})
        [finding] = self.judge(root).unexpected
        assert "readinessProbe" in str(finding.row.place)

    def test_of_the_same_tier_nothing_is_taken_otherwise(self, root):
        forked(root)
        judged = self.judge(root)
        assert judged.holds
        assert not any("of tier" in note for note in judged.notes)
