"""Parity: staging and production are the same but for what parity.yaml allows, and whatever drifts is named where it is."""

import json
from datetime import date

import pytest
import yaml

from cli.parity import judge
from reports import allowances, releases, text
from reports.allowances import Allowance, Allowances
from reports.compare import MISSING, Row, compare
from reports.parity import verdict
from reports.places import Pattern, Place, segments
from reports.releases import Ran
from settings import SettingsError
from tests.unit.stacks import house, stack, subjects
from tools.paths import ROOT

DAY = date(2026, 11, 22)
A, B = (f"registry.example.com/lamp@sha256:{digit * 64}" for digit in "ab")
POSTGRES = f"registry.example.com/postgres@sha256:{'c' * 64}"
WEB = "Deployment/web spec.template.spec.containers[app]"
NEVER = {
    "probe": ({"web": {"web": {"probes": {"live": "/up"}}}}, f"{WEB}.livenessProbe.httpGet.path", "probes"),
    "env-var": ({"web": {"web": {"config": {"EXTRA": "1"}}}}, f"{WEB}.env[EXTRA]", "env var names"),
    "config-var": ({"app": {"config": {"EXTRA": "1"}}}, "Secret/app-config stringData.EXTRA", "env var names"),
    "image": (
        {"images": {"pinned": {"postgres": POSTGRES}}},
        "StatefulSet/postgres spec.template.spec.containers[postgres].image",
        "same image",
    ),
    "version": ({"postgres": {"major": 16}}, "Version/postgres major", "same version"),
    "policy": ({"app": {"egress_ports": [443]}}, "NetworkPolicy/app-saas spec.egress[TCP/443]", "policies"),
    "component": ({"consumer": {"where": "none"}, "canary": {"where": "none"}}, "Deployment/consumer", "same components"),
    "service": ({"redis": {"cache": {"policy": "allkeys-lru", "config_var": "CACHE_URL"}}}, "StatefulSet/redis-cache", "same components"),
    "user": ({"app": {"uid": 10200}}, "Deployment/web spec.template.spec.securityContext.runAsUser", "policies"),
}
"""What drifts -> what production then says, where it is seen, and why it may never be."""
ALLOWABLE = {
    "replicas": ({"web": {"web": {"replicas": 3}}}, "Deployment/web spec.replicas", "3"),
    "volume": (
        {"postgres": {"volume": {"size": "20Gi"}}},
        "StatefulSet/postgres spec.volumeClaimTemplates[data].spec.resources.requests.storage",
        "20Gi",
    ),
    "value": ({"app": {"config": {"RAILS_ENV": "staging"}}}, "Secret/app-config stringData.RAILS_ENV", "staging"),
    "env-value": ({"web": {"web": {"threads": 7}}}, f"{WEB}.env[RAILS_MAX_THREADS].value", "7"),
    "file": (
        {"postgres": {"max_connections": 150}},
        "ConfigMap/postgres data[10-patroni.yml].bootstrap.dcs.postgresql.parameters.max_connections",
        "150",
    ),
    "memory": (
        {"consumer": {"resources": {"memory": "1Gi"}}},
        "Deployment/consumer spec.template.spec.containers[app].resources.limits.memory",
        "1Gi",
    ),
    "deadline": ({"release": {"stop_after": "30m"}}, "Job/release spec.activeDeadlineSeconds", "1800"),
    "timeout": ({"sidekiq": {"alerts": {"replicas": 8}}}, "Deployment/sidekiq-alerts options.timeout", "1020s"),
    "annotation": ({"mqtt": {"annotations": {"a.example/b": "c"}}}, "Service/mqtt-public metadata.annotations[a.example/b]", "c"),
    "devices": ({"mqtt": {"allow_from": ["192.0.2.0/24"]}}, "NetworkPolicy/mqtt-devices-in spec.ingress[TCP/8883].from[192.0.2.0/24]", "{"),
    "queue": ({"mqtt": {"queues": {"falls": {"single_active": False}}}}, "Secret/mqtt digest", ""),
}
"""What drifts -> what production then says, where it is seen, and how its value there begins."""
SERVER = {"port": 5432, "user": "u", "password": "DB_PASSWORD", "database": "d", "version": "15.4", "ranges": ["192.0.2.0/24"]}


def managed(name, **more):
    """Return what a stack with a managed database says."""
    return stack(name, {"postgres": {"where": "external", "external": {**SERVER, "host": f"db.{name}.example", **more}}})


OTHERS = {
    "managed": managed("managed"),
    "managed-twin": managed("managed-twin"),
    "managed-drift": managed("managed-drift", version="16.1", port=6432, tls="disable", ranges=["198.51.100.0/24"]),
    "staging": stack("staging"),
    "twin": stack("twin"),
    "released": stack("released", {"images": {"pinned": {"lamp": A}}}),
    "older": stack("older", {"images": {"pinned": {"lamp": B}}}),
}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    drifted = {name: stack(name, said[0]) for name, said in {**NEVER, **ALLOWABLE}.items()}
    made = {**OTHERS, **drifted}
    return subjects(house(tmp_path_factory.mktemp("house"), made), list(made))


@pytest.fixture
def judged(stacks):
    def run(right, *allowed, left="staging", ran=None, day=DAY):
        listed = tuple(Allowance(path, kind, "because it has to be", **more) for path, kind, more in allowed)
        return verdict(compare(stacks[left], stacks[right]), Allowances("parity.yaml", listed), ran or Ran(left, {}, kept=False), day)

    return run


def places(findings):
    return {str(finding.row.place) for finding in findings}


class TestThisRepository:
    def test_staging_and_production_are_the_same_but_for_what_parity_yaml_allows(self):
        made = judge("staging", "production")
        assert made.holds, "\n".join(text.parity(made))
        assert made.fields > 1000

    def test_every_allowance_ends_or_has_a_reason_of_several_words(self):
        listed = allowances.read(ROOT / allowances.FILE).listed
        assert listed
        assert all(len(one.reason.split()) > 5 for one in listed)


class TestDrift:
    def test_a_twin_of_another_name_does_not_differ_at_all(self, judged):
        made = judged("twin")
        assert (made.allowed, made.unexpected) == ([], [])
        assert made.identical == made.fields > 1000

    @pytest.mark.parametrize("drift", NEVER)
    def test_what_may_never_differ_is_named_and_why(self, judged, drift):
        _, place, why = NEVER[drift]
        found = {str(finding.row.place): finding.reason for finding in judged(drift).unexpected}
        assert place in found, "\n".join(found)
        assert "never allowed" in found[place]
        assert why in found[place]

    @pytest.mark.parametrize("drift", NEVER)
    def test_an_allowance_of_what_may_never_differ_is_itself_an_error(self, judged, drift):
        place = NEVER[drift][1]
        made = judged(drift, (place, "size", {}))
        assert any(f"{place}: covers {place}" in problem for problem in made.problems), made.problems
        assert place in places(made.unexpected)

    @pytest.mark.parametrize("drift", ALLOWABLE)
    def test_what_is_not_allowed_is_named_with_its_value(self, judged, drift):
        _, place, begins = ALLOWABLE[drift]
        found = {str(finding.row.place): finding for finding in judged(drift).unexpected}
        assert place in found, "\n".join(found)
        assert found[place].reason == "no allowance"
        assert text.value(found[place].row.right).startswith(begins)

    @pytest.mark.parametrize("drift", ALLOWABLE)
    def test_what_is_allowed_is_told_with_kind_and_reason(self, judged, drift):
        place = ALLOWABLE[drift][1]
        made = judged(drift, (place, "identity", {}))
        assert [(one.kind, one.reason) for one in made.allowed if str(one.row.place) == place] == [("identity", "because it has to be")]
        assert place not in places(made.unexpected)

    def test_one_drift_is_one_row(self, judged):
        assert len(judged("replicas").unexpected) == 1

    def test_a_range_of_addresses_in_a_policy_may_differ_as_identity_alone(self, judged):
        path = "NetworkPolicy/mqtt-devices-in spec.ingress[TCP/8883].from[*]"
        assert places(judged("devices", (path, "identity", {})).allowed)
        made = judged("devices", (path, "size", {}))
        assert "here only identity" in " ".join(finding.reason for finding in made.unexpected)


class TestExternalServices:
    def test_one_with_another_host_is_the_same(self, judged):
        assert judged("managed-twin", left="managed").unexpected == []

    def test_its_version_may_never_differ_and_the_rest_only_with_a_reason(self, judged):
        found = {str(finding.row.place): finding.reason for finding in judged("managed-drift", left="managed").unexpected}
        assert "never allowed: backing services have the same version" in found.pop("External/postgres version")
        places = [f"External/postgres {field}" for field in ("tls", "port", "ranges")] + [
            "NetworkPolicy/postgres-external spec.egress[TCP/6432]"
        ]
        assert [found[place] for place in places] == ["no allowance"] * 4

    def test_one_is_never_the_same_as_ones_own(self, judged):
        found = {str(finding.row.place): finding.reason for finding in judged("managed").unexpected}
        assert "same components" in found["StatefulSet/postgres"]


class TestAllowances:
    def test_one_that_nothing_uses_fails(self, judged):
        made = judged("twin", ("Deployment/web spec.replicas", "size", {"line": 7}))
        assert made.problems == [
            "parity.yaml:7: Deployment/web spec.replicas: nothing differs there between staging and twin; take the allowance out"
        ]
        assert not made.holds

    def test_one_that_misses_narrowly_is_told_what_was_meant(self, judged):
        made = judged("replicas", ("Deployment/web spec.replica", "size", {}))
        assert "did you mean `Deployment/web spec.replicas`?" in made.problems[0]

    def test_one_that_has_ended_fails_from_the_day_after(self, judged):
        allowed = ("Deployment/web spec.replicas", "size", {"until": DAY})
        assert judged("replicas", allowed).holds
        made = judged("replicas", allowed, day=date(2026, 11, 23))
        assert [finding.reason for finding in made.unexpected] == ["its allowance ended on 2026-11-22"]
        assert "ended on 2026-11-22" in made.problems[0]

    def test_one_about_other_stacks_is_left_alone(self, judged):
        path = "Deployment/web spec.replicas"
        assert judged("twin", (path, "size", {"stacks": ("staging", "production")})).holds
        assert judged("replicas", (path, "size", {"stacks": ("replicas", "staging")})).holds

    def test_one_that_covers_too_much_fails_although_nothing_differs_there(self, judged):
        made = judged("replicas", ("Deployment/web spec.**", "size", {}))
        assert "which may never differ" in made.problems[0]

    @pytest.mark.parametrize(
        ("entry", "problem"),
        [
            ({"kind": "size", "reason": "a good reason"}, "path: is missing"),
            ({"path": "web", "kind": "size", "reason": "a good reason"}, "web: expected KIND/NAME PATH"),
            ({"path": "A/b c", "kind": "color", "reason": "a good reason"}, "A/b c: kind: 'color': expected one of size, identity, safety"),
            ({"path": "A/b c", "kind": "size"}, "A/b c: reason: is missing"),
            ({"path": "A/b c", "kind": "size", "reason": "  "}, "A/b c: reason: is missing"),
            ({"path": "A/b c", "kind": "size", "reason": "a good reason", "until": "soon"}, "A/b c: until: 'soon': expected a date"),
            ({"path": "A/b c", "kind": "size", "reason": "a good reason", "stack": "x"}, "A/b c: unknown key stack"),
            ({"path": "A/b c", "kind": "size", "reason": "a good reason", "stacks": ["x"]}, "A/b c: stacks: expected two names"),
            ("A/b c", "expected a map"),
        ],
    )
    def test_a_wrong_entry_is_named_by_its_line_and_allows_nothing(self, tmp_path, entry, problem):
        file = tmp_path / "parity.yaml"
        file.write_text(yaml.safe_dump({"allowed": [{"path": "X/y z", "kind": "size", "reason": "a good reason"}, entry]}))
        made = allowances.read(file)
        assert len(made.listed) == 1
        assert f"parity.yaml:5: {problem}" in made.problems[0]

    def test_the_same_path_twice_is_said(self, tmp_path):
        file = tmp_path / "parity.yaml"
        file.write_text(yaml.safe_dump({"allowed": [{"path": "X/y z", "kind": "size", "reason": "a good reason"}] * 2}))
        assert "X/y z: is allowed twice" in allowances.read(file).problems[0]

    @pytest.mark.parametrize("content", ["[", "allowed: 3", "- path: A/b c", "forbidden: []"])
    def test_a_file_that_is_no_such_list_is_refused(self, tmp_path, content):
        file = tmp_path / "parity.yaml"
        file.write_text(content)
        with pytest.raises(SettingsError, match=r"parity\.yaml"):
            allowances.read(file)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"allowed:\n  - path: [\n", r"^parity\.yaml:3: is not YAML: .* in column 1$"),
            (b"\xff", r"^parity\.yaml: is not UTF-8 text: byte 0$"),
        ],
    )
    def test_a_file_that_can_not_be_read_is_named_with_the_place(self, tmp_path, content, sentence):
        (tmp_path / "parity.yaml").write_bytes(content)
        with pytest.raises(SettingsError, match=sentence):
            allowances.read(tmp_path / "parity.yaml")
        (tmp_path / "releases").mkdir()
        (tmp_path / "releases" / "parity.yaml").write_bytes(content)
        with pytest.raises(SettingsError, match=sentence.replace("^", "^releases/")):
            releases.read("parity", tmp_path)


class TestTheAppsImage:
    def test_what_the_first_stack_has_run_may_be_older(self, judged):
        made = judged("older", left="released", ran=Ran("released", {B[-71:]: "2026-11-01"}))
        assert made.holds
        assert [finding.reason for finding in made.allowed] == ["released has run it (releases/released.yaml: 2026-11-01)"]

    def test_what_it_has_not_run_may_not(self, judged):
        made = judged("older", left="released", ran=Ran("released", {A[-71:]: "2026-11-01"}))
        assert places(made.unexpected) == {"Image/app"}
        assert "does not have registry.example.com/lamp@sha256:bb" in made.unexpected[0].reason

    def test_what_it_pins_but_has_not_run_may_not_either(self, judged):
        made = judged("released", left="released", ran=Ran("released", {B[-71:]: ""}))
        assert "although released pins it" in made.unexpected[0].reason

    def test_without_a_record_the_same_image_is_taken_on_trust_and_said_so(self, judged):
        made = judged("released", left="released")
        assert made.holds
        assert "both pin the same image" in made.notes[0]
        assert not judged("older", left="released").holds

    def test_when_neither_is_pinned_it_says_that_nothing_is_proved(self, judged):
        assert "so nothing is proved about it" in judged("twin").notes[0]

    def test_one_that_is_not_pinned_is_not_known_to_have_run(self, judged):
        assert "does not pin the app's image" in judged("twin", left="released").unexpected[0].reason
        assert not judged("released").holds

    def test_the_record_is_read_from_releases(self, tmp_path):
        assert not releases.read("staging", tmp_path).kept
        (tmp_path / "releases").mkdir()
        file = tmp_path / "releases" / "staging.yaml"
        file.write_text(yaml.safe_dump([{"image": A, "at": "2026-11-01"}, {"image": B, "at": "2026-11-02"}]))
        assert releases.read("staging", tmp_path).images == {A[-71:]: "2026-11-01", B[-71:]: "2026-11-02"}
        file.write_text("- image: lamp:latest")
        with pytest.raises(SettingsError, match=r"releases/staging\.yaml: expected a list"):
            releases.read("staging", tmp_path)


class TestReports:
    def test_the_first_line_counts(self, judged):
        made = judged("replicas")
        assert text.parity(made)[0] == f"parity {made.fields - 1}/{made.fields} fields identical, 0 allowed, 1 unexpected"

    def test_json_has_everything_that_the_text_has(self, judged):
        made = json.loads(text.parity_json(judged("replicas", ("Deployment/web spec.replicas", "size", {}))))
        assert made["holds"] is True
        assert made["allowed"] == [
            {"place": "Deployment/web spec.replicas", "left": 2, "right": 3, "kind": "size", "reason": "because it has to be"}
        ]

    def test_markdown_folds_what_is_allowed_and_shows_what_is_not(self, judged):
        made = text.parity_markdown(judged("replicas"))
        assert "| `Deployment/web spec.replicas` | `2` | `3` | no allowance |" in made
        assert "<details>" in text.parity_markdown(judged("replicas", ("Deployment/web spec.replicas", "size", {})))

    def test_no_secret_is_in_any_report(self, judged):
        made = judged("queue")
        assert "generated-secret" not in "\n".join([*text.parity(made), text.parity_json(made), text.parity_markdown(made)])


class TestPlaces:
    @pytest.mark.parametrize(
        ("pattern", "place", "covered"),
        [
            ("Deployment/web spec.replicas", ("Deployment", "web", "spec.replicas"), True),
            ("Deployment/* spec.replicas", ("Deployment", "web", "spec.replicas"), True),
            ("Deployment/web spec.replica*", ("Deployment", "web", "spec.replicas"), True),
            ("Deployment/web spec.*", ("Deployment", "web", "spec.template.spec"), False),
            ("Deployment/web **.memory", ("Deployment", "web", "spec.containers[app].memory"), True),
            ("Deployment/web **", ("Deployment", "web", ""), True),
            ("Deployment/web", ("Deployment", "web", "spec.replicas"), False),
            ("Service/a metadata.annotations[x.y/z]", ("Service", "a", "metadata.annotations[x.y/z]"), True),
            ("Service/a metadata.annotations[x.y/*]", ("Service", "a", "metadata.annotations[x.y/z]"), True),
            ("Service/ab spec", ("Service", "a", "spec"), False),
        ],
    )
    def test_a_pattern_covers_what_it_says(self, pattern, place, covered):
        kind, name, path = place
        assert Pattern(pattern).matches(Place(kind, name, segments(path))) is covered

    def test_a_place_reads_as_it_is_written(self):
        written = "StatefulSet/postgres spec.volumeClaimTemplates[data].spec.resources.requests.storage"
        assert str(Place("StatefulSet", "postgres", segments(written.split()[1]))) == written

    def test_what_is_missing_says_so(self):
        assert text.value(Row(Place("A", "b"), MISSING, 1.0).left) == "(none)"


def test_a_password_inside_an_address_is_not_shown():
    assert text.value("postgres://shop:hunter2@db.example/shop") == "postgres://<not shown>@db.example/shop"
    assert text.value({"url": "redis://:hunter2@r.example"}) == '{"url": "redis://<not shown>@r.example"}'
