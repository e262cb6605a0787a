"""Rotations: which generations of passwords are let in, and what is refused."""

import pytest

from cli import logins, rotate
from cli.compared import subjects
from cli.stack import Stack
from reports.compare import compare
from settings import SettingsError, resolve
from settings.backing import Redis
from settings.footprint import footprint
from settings.rotation import services
from tests.unit.stacks import UNWATCHED, house, stack
from tools.errors import UserError

STACK = {"tier": "sandbox", **UNWATCHED}


@pytest.mark.parametrize(
    ("rotation", "revoked", "accepted", "dropped"),
    [(1, 0, [1], []), (2, 0, [2, 1], []), (2, 1, [2], [1]), (3, 0, [3, 2], [1]), (3, 1, [3, 2], [1]), (3, 2, [3], [1, 2])],
)
def test_two_generations_are_let_in_until_the_older_is_revoked(rotation, revoked, accepted, dropped):
    said = Redis(rotation=rotation, revoked=revoked)
    assert (said.accepted, said.dropped) == (accepted, dropped)


def test_revoking_the_generation_that_is_in_use_is_refused():
    with pytest.raises(SettingsError, match=r"postgres\.revoked.*expected less than postgres\.rotation, which is 2"):
        resolve("test", {**STACK, "postgres": {"rotation": 2, "revoked": 2}})


def test_only_what_the_stack_runs_itself_can_be_rotated():
    said = resolve("test", {**STACK, "elasticsearch": {"where": "none"}})
    assert list(services(said)) == [("mqtt",), ("postgres",), ("redis", "jobs")]


def test_what_waits_for_a_server_is_counted():
    said = resolve("test", {**STACK, "postgres": {"rotation": 2}})
    assert [part.component for part in footprint(said) if part.component.endswith("-rotation")] == ["postgres-rotation"]


class TestCommand:
    @pytest.fixture
    def trial(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            rotate, "ROOT", house(tmp_path, {"trial": {"tier": "sandbox", **UNWATCHED, "redis": {"jobs": {"rotation": 2}}}})
        )
        return lambda: Stack.load("trial", root=tmp_path)

    def test_the_next_generation_is_written_into_the_stacks_file(self, trial):
        rotate.raise_rotation(trial(), [("postgres",)])
        assert (trial().settings.postgres.rotation, trial().settings.postgres.accepted) == (2, [2, 1])

    def test_a_rotation_that_was_left_halfway_is_gone_on_with(self, trial):
        rotate.raise_rotation(trial(), [("redis", "jobs")])
        assert trial().settings.redis["jobs"].rotation == 2
        rotate.revoke(trial(), [("redis", "jobs")])
        assert trial().settings.redis["jobs"].accepted == [2]
        rotate.raise_rotation(trial(), [("redis", "jobs")])
        assert trial().settings.redis["jobs"].rotation == 3

    def test_a_server_that_the_stack_does_not_run_is_refused_with_those_that_it_does(self):
        with pytest.raises(UserError, match=r"elasticsearch: .* it runs mqtt, postgres, and `all`"):
            rotate._named(("postgres", "elasticsearch"), {"mqtt": ("mqtt",), "postgres": ("postgres",)})

    def test_the_login_before_is_read_from_the_config_vars(self, trial):
        config = {"DATABASE_URL": "postgresql://lamp_2:p%40ss@postgres:5432/lamp?sslmode=prefer"}
        login = logins.of_config(trial().settings, ("postgres",), config)
        assert (login.service, login.user, login.password, login.database) == ("postgres", "lamp_2", "p@ss", "lamp")

    def test_a_service_that_the_running_app_was_not_given_yet_is_refused_before_anything_is_written(self, trial):
        with pytest.raises(UserError, match=r"was not given DATABASE_URL yet: bring the stack up first, and then rotate postgres"):
            logins.of_config(trial().settings, ("postgres",), {"REDIS_URL": "redis://default:a@redis-jobs:6379/0"})

    def test_each_member_of_postgres_is_asked_by_itself(self):
        script, *_ = logins._scripts(logins.Login("postgres", 3, "lamp", "the-password", "lamp"))
        assert "host=127.0.0.1 " in script

    def test_nothing_is_revoked_while_a_pod_is_left_that_was_given_the_login_of_before(self):
        def pod(name, config, phase="Running", **about):
            container = {"envFrom": [{"secretRef": {"name": config}}, {"secretRef": {"name": "theirs"}}]}
            return {"metadata": {"name": name, **about}, "spec": {"containers": [container]}, "status": {"phase": phase}}

        pods = [
            pod("web-new", "app-config-2222222222"),
            pod("web-old", "app-config-1111111111", deletionTimestamp="2026-11-23T06:00:00Z"),
            pod("nightly-old", "app-config-1111111111"),
            pod("nightly-done", "app-config-1111111111", phase="Succeeded"),
            {"metadata": {"name": "postgres-0"}, "spec": {"containers": [{}]}, "status": {"phase": "Running"}},
        ]
        assert rotate.holding(pods, ["app-config-2222222222"]) == ["web-old", "nightly-old"]

    def test_a_snapshot_that_began_with_the_login_of_before_is_waited_for(self):
        def pod(name, keys):
            volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "keys", "secret": {"secretName": keys}}]
            return {"metadata": {"name": name}, "spec": {"containers": [{}], "volumes": volumes}, "status": {"phase": "Running"}}

        pods = [pod("snapshot-old", "elasticsearch-snapshots-1"), pod("snapshot-new", "elasticsearch-snapshots-2"), pod("mqtt-0", "mqtt-1")]
        assert rotate.holding(pods, ["app-config-2", "elasticsearch-snapshots-2"]) == ["snapshot-old"]

    @pytest.mark.parametrize(("in_use", "told"), [(1, False), (2, True)])
    def test_who_only_ended_a_rotation_is_told_that_the_passwords_are_those_of_before(self, trial, monkeypatch, capsys, in_use, told):
        class Reached:
            def __init__(self, generation):
                self.generation = generation

            def config_values(self):
                return {"REDIS_URL": f"redis://default:generation-{self.generation}@redis-jobs:6379/0"}

            def outputs(self):
                return {"config_secret": "app-config-2222222222"}

            def reached(self):
                return self

            def get(self, _kind):
                return {"items": []}

        monkeypatch.setattr(rotate, "existing", lambda *_: Reached(in_use))
        monkeypatch.setattr(rotate, "_bring", lambda *_, **__: Reached(2))
        monkeypatch.setattr(Stack, "open", lambda _name: trial())
        tried = []
        monkeypatch.setattr(logins, "wait_refused", lambda those, *_: tried.extend(one.password for one in those))
        rotate.command.callback(services=("redis.jobs",), name="trial", yes=True)
        assert tried == ([] if told else ["generation-1"])
        assert ("For passwords that nobody has seen: ./sy rotate redis.jobs -s trial" in capsys.readouterr().err) is told
        assert trial().settings.redis["jobs"].accepted == [2]

    @pytest.mark.parametrize("service", ["postgres", "redis-jobs", "mqtt", "elasticsearch"])
    def test_a_password_is_never_an_argument(self, service):
        script, *_ = logins._scripts(logins.Login(service, 1, "user", "the-password", "lamp"))
        assert "the-password" not in script and "$(cat)" in script


def test_how_often_passwords_were_rotated_makes_no_difference_between_stacks(tmp_path):
    rotated = {"postgres": {"rotation": 3, "revoked": 2}, "mqtt": {"rotation": 2}, "redis": {"jobs": {"rotation": 2}}}
    ours, theirs = subjects(["one", "two"], house(tmp_path, {"one": stack("one"), "two": stack("two", rotated)}))
    assert not [row for row in compare(ours, theirs).rows if "rotation" in str(row.place) or "RandomPassword" in str(row.place)]
