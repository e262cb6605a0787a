"""Files as they are read: what YAML readers take differently is refused with its line, and a secret stays where it belongs."""

from pathlib import Path
from typing import Any

import pytest

from settings import SettingsError, load, resolve
from settings.cron import check_zone, times_of
from settings.loader import read_stack_file
from settings.references import check_image, check_registry, range_of

HEAD = "config:\n  switchyard:tier: staging\n  switchyard:cluster: {identifier: c}\n"
SENTINEL = "hunter2-Do-Not-Print"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(SettingsError) as caught:
        resolve("x", *read_stack_file(file))
    return caught.value.problems


ROWS: list[tuple[str, str, str]] = [
    ("a key said twice", "  switchyard:web: {}\n  switchyard:web: {}\n", "5: web: is said twice, first in line 4; keep one of them"),
    (
        "an inner key said twice",
        "  switchyard:postgres:\n    members: 1\n    members: 3\n",
        "6: postgres.members: is said twice, first in line 5; keep one of them",
    ),
    (
        "a date",
        "  switchyard:app:\n    config:\n      API: 2026-11-22\n",
        "6: app.config.API: YAML reads this as a date; put quotes around it",
    ),
    (
        "a word that may be a truth",
        "  switchyard:app: {config: {A: no}}\n",
        "4: app.config.A: YAML reads this word as true or false, Pulumi as text: write true or false, or put quotes around it",
    ),
    (
        "a number that is octal for some",
        "  switchyard:app: {uid: 010100}\n",
        "4: app.uid: YAML readers differ about this number: write it in plain digits, or put quotes around it",
    ),
    (
        "minutes that are a number for some",
        "  switchyard:web: {web: {port: 50:00}}\n",
        "4: web.web.port: YAML readers differ about this number: write it in plain digits, or put quotes around it",
    ),
    (
        "no number",
        "  switchyard:redis: {jobs: {memory_share: .nan}}\n",
        "4: redis.jobs.memory_share: expected a finite number in plain digits; put quotes around what is meant as text",
    ),
    (
        "an endless number",
        "  switchyard:redis: {jobs: {memory_share: .inf}}\n",
        "4: redis.jobs.memory_share: expected a finite number in plain digits; put quotes around what is meant as text",
    ),
    ("a key that is a number", "  switchyard:web: {1: {command: [x]}}\n", "4: web.1: the key '1' is no text; quote it"),
    ("a key that is a truth", "  switchyard:app: {config: {on: x}}\n", "4: app.config.on: the key 'on' is no text; quote it"),
    ("a key that is a list", "  switchyard:app: {config: {[a]: x}}\n", "4: app.config.?: the key a list or map is no text; quote it"),
    (
        "an alias within itself",
        "  switchyard:app: &a {config: *a}\n",
        "4: app.config: an alias (*) leads back to what it is part of",
    ),
    (
        "a tag",
        "  switchyard:app: {image: !!binary aGVsbG8=}\n",
        "4: app.image: expected a plain value, not one with the tag tag:yaml.org,2002:binary",
    ),
    ("a key without its namespace", "  tier: staging\n", '4: tier: is not read; did you mean "switchyard:tier"?'),
    ("a key with another's namespace", "  swichyard:web: {}\n", '4: swichyard:web: is not read; did you mean "switchyard:web"?'),
    (
        "a secret in clear",
        f"  switchyard:app: {{secrets: [TOKEN]}}\n  switchyard:TOKEN: {SENTINEL}\n",
        "5: TOKEN: is written in clear; make it anew, and set it with `pulumi config set --secret TOKEN`",
    ),
    (
        "a secret inside an object",
        f"  switchyard:postgres:\n    external:\n      password:\n        secure: {SENTINEL}\n",
        "6: postgres.external.password: a secret lies inside an object, and Pulumi then takes all of 'postgres' for a "
        "secret: secrets are flat "
        "top-level keys. Set it with `pulumi config set --secret NAME`, and name it where postgres.external.password belongs",
    ),
    (
        "a secret inside a list",
        f"  switchyard:app:\n    secrets:\n      - secure: {SENTINEL}\n",
        "6: app.secrets.0: a secret lies inside an object, and Pulumi then takes all of 'app' for a secret: secrets "
        "are flat top-level keys. "
        "Set it with `pulumi config set --secret NAME`, and name it where app.secrets.0 belongs",
    ),
    (
        "an object that is a secret",
        f"  switchyard:mqtt:\n    secure: {SENTINEL}\n",
        "4: mqtt: is no secret: `pulumi config set mqtt` without --secret",
    ),
]


class TestFiles:
    @pytest.mark.parametrize(("text", "sentence"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
    def test_one_sentence_has_the_line(self, tmp_path: Path, text: str, sentence: str) -> None:
        found = problems(tmp_path, text)
        assert found[0] == f"Pulumi.x.yaml:{sentence}"
        assert SENTINEL not in str(found)

    def test_what_can_not_be_read_does_not_hide_what_is_wrong_elsewhere(self, tmp_path: Path) -> None:
        found = problems(
            tmp_path, "  switchyard:app: {config: {A: no}}\n  switchyard:mqtt: {members: 2}\n  switchyard:edge: {ranges: [x]}\n"
        )
        assert [problem.split(": ")[1] for problem in found] == ["app.config.A", "edge.ranges.0", "mqtt.members"]

    def test_the_same_in_a_shared_layer_names_that_file(self, tmp_path: Path) -> None:
        tiers = tmp_path / "settings" / "tiers"
        tiers.mkdir(parents=True)
        (tmp_path / "product.yaml").write_text("product: lamp\npostgres: {members: 1, members: 2}\n")
        (tiers / "staging.yaml").write_text("app:\n  config: {A: 2026-11-22}\n")
        with pytest.raises(SettingsError) as caught:
            resolve("x", {"tier": "staging", "cluster": {"identifier": "c"}}, root=tmp_path)
        assert caught.value.problems == [
            "product.yaml:2: postgres.members: is said twice, first in line 2; keep one of them",
            "settings/tiers/staging.yaml:2: app.config.A: YAML reads this as a date; put quotes around it",
        ]

    def test_anchors_and_merge_keys_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "Pulumi.x.yaml"
        file.write_text(
            HEAD + "  switchyard:processes:\n    a: &a {command: [x], stop_within: 40s}\n    b: {<<: *a, command: [y]}\n    c: *a\n"
        )
        made = resolve("x", *read_stack_file(file))
        assert [(process.command, process.stop_within) for process in map(made.processes.get, "abc") if process] == [
            (["x"], "40s"),
            (["y"], "40s"),
            (["x"], "40s"),
        ]

    @pytest.mark.parametrize("text", ["config: 3\n", "config: [a]\n", "[]\n", "3\n"])
    def test_a_file_of_another_shape_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "Pulumi.x.yaml"
        file.write_text(text)
        with pytest.raises(SettingsError, match="expected a map of settings"):
            read_stack_file(file)

    @pytest.mark.parametrize("text", ["", "config:\n", "config: {}\n", "# nothing\n"])
    def test_a_file_without_settings_lacks_a_tier(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "Pulumi.x.yaml"
        file.write_text(text)
        with pytest.raises(SettingsError, match=r"Pulumi.x.yaml: tier: is missing; expected one of sandbox"):
            resolve("x", *read_stack_file(file))

    def test_a_file_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "Pulumi.x.yaml"
        file.write_bytes(b"config: \xff\xfe")
        with pytest.raises(SettingsError, match=r"is not UTF-8 text: byte 8"):
            read_stack_file(file)


class TestTheEnginesSecrets:
    def test_an_object_that_the_engine_holds_to_be_secret_is_refused_without_its_values(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load("x", {"tier": "staging", "postgres": f'{{"external": {{"password": "{SENTINEL}"}}}}'}, secret_keys=["postgres"])
        [sentence] = caught.value.problems
        assert sentence.startswith("Pulumi.x.yaml: postgres: a secret lies inside an object")
        assert SENTINEL not in sentence

    @pytest.mark.parametrize(
        "said",
        [
            {"postgres": {"external": {"host": f"postgres://app:{SENTINEL}@db", "port": 1}}},
            {"app": {"config": {"SMTP_PASSWORD": 12345678}}},
            {"app": {"config": {"API_TOKEN": [SENTINEL]}}},
            {"images": {"login": {"server": "ghcr.io", "user": "u", "password": f"{SENTINEL}!"}}},
            {"images": {"registry": f"https://u:{SENTINEL}@ghcr.io"}},
        ],
    )
    def test_what_may_be_a_secret_is_not_repeated(self, said: dict[str, Any]) -> None:
        with pytest.raises(SettingsError) as caught:
            resolve("x", {"tier": "staging", "cluster": {"identifier": "c"}, **said})
        assert SENTINEL not in str(caught.value)
        assert "12345678" not in str(caught.value)


class TestSchedules:
    @pytest.mark.parametrize(
        "cron",
        [
            "* * * * *",
            "0 3 * * *",
            "*/15 0-6 1,15 jan-mar,DEC mon-FRI",
            "5/15 ? ? * ?",
            "0 0 29 2 *",
            "0 0 31 1,2 *",
            " 0  3 * * 0 ",
            "0 0 31 2 mon",
        ],
    )
    def test_what_the_cluster_takes_is_taken(self, cron: str) -> None:
        assert len(times_of(cron)) == 5

    def test_fields_are_read_as_the_cluster_reads_them(self) -> None:
        minutes, hours, days, months, weekdays = times_of("5/20 8-12/2 1,15 feb,apr-may mon-wed")
        assert (minutes, hours, days) == ({5, 25, 45}, {8, 10, 12}, {1, 15})
        assert (months, weekdays) == ({2, 4, 5}, {1, 2, 3})

    @pytest.mark.parametrize(
        ("cron", "words"),
        [
            ("@daily", 'did you mean "0 0 \\* \\* \\*"'),
            ("0 3 * *", "five cron fields .* not 4"),
            ("0 0 3 * * *", "not 6"),
            ("60 * * * *", "minute '60': expected 0 to 59"),
            ("* 24 * * *", "hour '24': expected 0 to 23"),
            ("* * 0 * *", "day of the month '0': expected 1 to 31"),
            ("* * * 13 *", "month '13': expected 1 to 12 or jan to dec"),
            ("* * * * 7", "day of the week '7': expected 0 to 6 or sun to sat; Sunday is 0"),
            ("* * * * monday", "day of the week 'monday'"),
            ("mon * * * *", "minute 'mon': expected 0 to 59"),
            ("10-5 * * * *", "ends before it begins"),
            ("* * * * fri-mon", "ends before it begins"),
            ("*/0 * * * *", "a step of at least 1"),
            ("*/x * * * *", "expected a number"),
            ("1,,2 * * * *", "expected a number"),
            ("-1 * * * *", "expected a number"),
            ("* * L * *", "day of the month 'L'"),
            ("* * 1W * *", "day of the month '1W'"),
            ("0 0 31 2 *", "never comes: day of the month 31 is in none of the months 2"),
            ("0 0 30-31 feb *", "never comes"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            ("٣ * * * *", "minute"),
            ("99999999999999999999 * * * *", "expected 0 to 59"),
        ],
    )
    def test_what_the_cluster_refuses_is_refused_beforehand(self, cron: str, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            times_of(cron)

    @pytest.mark.parametrize("zone", ["Etc/UTC", "UTC", "Europe/Paris", "America/Argentina/Ushuaia"])
    def test_a_time_zone_is_one_of_the_list(self, zone: str) -> None:
        check_zone(zone)

    @pytest.mark.parametrize(
        ("zone", "meant"),
        [
            ("europe/paris", "Europe/Paris"),
            ("Berlin", "Europe/Berlin"),
            ("Europe/Pariss", "Europe/Paris"),
            ("new york", "America/New_York"),
            ("Europ/Paris", "Europe/Paris"),
            ("Asia/Istambul", "Asia/Istanbul"),
            ("europe/istambul", "Europe/Istanbul"),
        ],
    )
    def test_another_is_refused_with_the_nearest(self, zone: str, meant: str) -> None:
        with pytest.raises(ValueError, match=f'did you mean "{meant}"'):
            check_zone(zone)

    @pytest.mark.parametrize("zone", ["Europe/Nowhere", "America/Nowhere", "Europe/", "Mars/Base", "Etc/"])
    def test_a_city_that_is_nobodys_gets_no_other_one_of_its_area(self, zone: str) -> None:
        with pytest.raises(ValueError, match=r"expected a time zone such as Europe/Paris or Etc/UTC$"):
            check_zone(zone)

    @pytest.mark.parametrize("zone", ["", "Local", "+02:00", "../etc/passwd", "\x00"])
    def test_what_is_no_zone_at_all_is_refused(self, zone: str) -> None:
        with pytest.raises(ValueError, match="expected a time zone"):
            check_zone(zone)


class TestReferences:
    @pytest.mark.parametrize(
        "image",
        [
            "lamp",
            "lamp:v1",
            "ghcr.io/company/lamp",
            "10.118.0.1:5000/shop:v12",
            "a/b__c/d-e.f",
            f"x.io:5000/a@sha256:{'0' * 64}",
            f"x.io/a:v1@sha256:{'f' * 64}",
        ],
    )
    def test_an_image_is_taken(self, image: str) -> None:
        check_image(image)

    @pytest.mark.parametrize(
        "image",
        [
            "",
            "Lamp",
            "a b",
            "https://x.io/a",
            "a:",
            "a:-v",
            "a@sha256:",
            "a@",
            f"a@md5:{'0' * 64}",
            f"a@sha256:{'0' * 63}",
            "a/",
            "/a",
            "a//b",
            "é",
            f"a@sha256:{'G' * 64}",
            f"a@sha256:{'0' * 64} ",
            "a:" + "x" * 129,
        ],
    )
    def test_what_is_no_image_is_refused(self, image: str) -> None:
        with pytest.raises(ValueError, match="expected"):
            check_image(image)

    @pytest.mark.parametrize(
        ("registry", "right"), [("ghcr.io/company", True), ("10.118.0.1:5000", True), ("https://ghcr.io", False), ("ghcr.io/", False)]
    )
    def test_a_registry_is_one(self, registry: str, right: bool) -> None:
        if right:
            check_registry(registry)
        else:
            with pytest.raises(ValueError, match="expected a registry"):
                check_registry(registry)

    @pytest.mark.parametrize(
        ("text", "taken"), [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("fd00::/8", "fd00::/8"), ("::1", "::1/128")]
    )
    def test_a_range_is_taken_as_kubernetes_writes_it(self, text: str, taken: str) -> None:
        assert range_of(text) == taken

    @pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.0.0/8", "300.0.0.0/8", "10.0.0.1/8", "::1/129", "a/8", "010.0.0.0/8"])
    def test_what_is_no_range_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="expected an address range"):
            range_of(text)
