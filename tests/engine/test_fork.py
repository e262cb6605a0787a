"""Two resellers beside staging and production, by the real engine: all preview, and none has anything of another's."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from cli import fork, fork_removal
from tests.engine.project import Preview, Project
from tools.errors import UserError
from tools.progress import Progress

SENTINEL = "hunter2-Do-Not-Copy"
FORKS = {"bright-homes": None, "night-watch": "small"}
DIGEST = "sha256:" + "a" * 64
OF_PRODUCTION = re.compile(r"(?<![\w-])lamps\.example|lamp-production|lamp\.production|old-broker\.example|app\.company\.example")


@pytest.fixture(autouse=True, scope="module")
def nobody_is_logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SWITCHYARD_STATE", str(tmp_path_factory.mktemp("state")))
        for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def company(make_project: Callable[[], Project]) -> Project:
    """A checkout whose production has secrets, a key and host names of its own, and two forks of it, each with a passphrase of its own."""
    project = make_project()
    project.say(
        "production",
        {
            "app": {"secrets": ["SENTRY_DSN"], "config": {"APP_HOST": "lamps.example", "CABLE": "wss://cable.lamps.example"}},
            "mqtt": {"host_names": ["mqtt.lamps.example", "old-broker.example"], "annotations": {"dns/hostname": "mqtt.lamps.example"}},
            "images": {"pinned": {"lamp": f"registry.example.com/lamp@{DIGEST}"}},
        },
    )
    for name in ("production", "staging"):
        project.init(name)
    project.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", "production", given=SENTINEL)
    for name, tier in FORKS.items():
        forked(project, name, tier)
    for name in FORKS:
        with_passphrase(project, name)
        project.ok("stack", "init", name, "--no-select", env=own(project, name))
    return project


def forked(project: Project, name: str, tier: str | None) -> Path:
    progress = Progress()
    progress.close()
    wish = fork.wanted("production", name, f"lamps.{name}.example", tier, None, project.folder)  # pyright: ignore[reportArgumentType]
    fork.create(wish, progress, project.folder)
    return project.folder / f"Pulumi.{name}.yaml"


def with_passphrase(project: Project, name: str) -> None:
    Path(own(project, name)["PULUMI_CONFIG_PASSPHRASE_FILE"]).write_text(f"the passphrase of {name}")


def own(project: Project, name: str) -> dict[str, str]:
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": f"{project.folder}-passphrase-of-{name}"}


@pytest.fixture(scope="module")
def previews(company: Project) -> dict[str, Preview]:
    """Staging, production and both forks, previewed."""
    names = ["staging", "production", *FORKS]
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda name: company.preview(name, env=own(company, name) if name in FORKS else None), names)
        return dict(zip(names, made, strict=True))


@pytest.mark.parametrize("name", ["staging", "production", *FORKS])
def test_each_previews(previews: dict[str, Preview], name: str) -> None:
    assert previews[name].code == 0, previews[name].text
    assert previews[name].named("Namespace", f"lamp-{name}")


@pytest.mark.parametrize("name", FORKS)
class TestAFork:
    def test_no_name_host_or_secret_of_the_source_is_in_its_preview_or_its_file(
        self, company: Project, previews: dict[str, Preview], name: str
    ) -> None:
        assert OF_PRODUCTION.search(json.dumps(previews["production"].steps)), "what is looked for is nowhere at all"
        for text in (previews[name].text, (company.folder / f"Pulumi.{name}.yaml").read_text()):
            assert [found[0] for found in OF_PRODUCTION.finditer(text)] == []
            assert SENTINEL not in text

    def test_its_own_host_names_are_where_the_sources_were(self, previews: dict[str, Preview], name: str) -> None:
        public = previews[name].named("Service", "mqtt-public")
        assert public["metadata"]["annotations"] == {"dns/hostname": f"mqtt.lamps.{name}.example"}
        assert f"lamps.{name}.example" in json.dumps(previews[name].steps)

    def test_it_runs_the_digests_of_its_source(self, previews: dict[str, Preview], name: str) -> None:
        web = previews[name].named("Deployment", "web")
        assert web["spec"]["template"]["spec"]["containers"][0]["image"].endswith(DIGEST)

    def test_it_asks_for_the_secrets_that_were_not_copied(self, previews: dict[str, Preview], name: str) -> None:
        assert any("secret SENTRY_DSN is missing" in warning for warning in previews[name].warnings)
        assert not any("secret SENTRY_DSN is missing" in warning for warning in previews["production"].warnings)

    def test_its_key_is_its_own(self, company: Project, name: str) -> None:
        said = yaml.safe_load((company.folder / f"Pulumi.{name}.yaml").read_text())
        assert said["encryptionsalt"] != yaml.safe_load((company.folder / "Pulumi.production.yaml").read_text())["encryptionsalt"]
        # With the passphrase of another stack its secrets can not be read.
        company.ok("config", "set", "--secret", "SENTRY_DSN", "--stack", name, given="its own", env=own(company, name))
        assert company.pulumi("config", "get", "SENTRY_DSN", "--stack", name).code != 0
        assert company.ok("config", "get", "SENTRY_DSN", "--stack", name, env=own(company, name)).strip() == "its own"
        company.ok("config", "rm", "SENTRY_DSN", "--stack", name, env=own(company, name))

    def test_its_file_says_what_it_is_a_fork_of_also_after_pulumi_has_written_into_it(self, company: Project, name: str) -> None:
        assert (company.folder / f"Pulumi.{name}.yaml").read_text().startswith("# A fork of production: ")


class TestUndone:
    @pytest.fixture
    def there(self, company: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
        """A fork in the backend that somebody is logged in to."""
        for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PATH"):
            monkeypatch.setenv(name, company.env[name])
        passphrase = own(company, "undone")["PULUMI_CONFIG_PASSPHRASE_FILE"]
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", passphrase)
        with_passphrase(company, "undone")
        file = forked(company, "undone", None)
        company.ok("stack", "init", "undone", "--no-select", env=own(company, "undone"))
        yield company
        company.pulumi("stack", "rm", "undone", "--yes", "--force", env=own(company, "undone"))
        file.unlink(missing_ok=True)

    def test_an_empty_stack_is_removed_with_its_file(self, there: Project) -> None:
        fork_removal.remove("undone", True, there.folder)
        assert not (there.folder / "Pulumi.undone.yaml").exists()
        assert "undone" not in there.ok("stack", "ls", "--json")
        assert "production" in there.ok("stack", "ls", "--json")

    def test_one_that_has_resources_is_kept_and_the_way_out_is_said(self, there: Project) -> None:
        state = json.loads(there.ok("stack", "export", "--stack", "undone", env=own(there, "undone")))
        urn = "urn:pulumi:undone::switchyard::switchyard:index:Redis::redis-jobs"
        state["deployment"]["resources"] = [{"urn": urn, "type": "switchyard:index:Redis", "custom": False}]
        there.ok("stack", "import", "--stack", "undone", given=json.dumps(state), env=own(there, "undone"))
        with pytest.raises(UserError, match=r"stack undone has 1 resources.*\./sy destroy -s undone"):
            fork_removal.remove("undone", True, there.folder)
        assert (there.folder / "Pulumi.undone.yaml").is_file()

    def test_a_name_that_the_backend_has_is_taken_though_its_file_is_gone(self, there: Project) -> None:
        (there.folder / "Pulumi.undone.yaml").unlink()
        with pytest.raises(Exception, match="your backend has a stack undone, whose file is not here"):
            forked(there, "undone", None)
