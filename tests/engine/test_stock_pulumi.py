"""Nothing needs `sy`: the README's few lines with a stock Pulumi."""

import subprocess
from pathlib import Path

from tests.engine.project import PASSPHRASE, Project


def test_the_lines_of_the_readme_lead_to_a_preview(project: Project, tmp_path: Path) -> None:
    backend = tmp_path / "states"
    backend.mkdir()
    passphrase = tmp_path / "passphrase.txt"
    passphrase.write_text(PASSPHRASE)
    project.say("staging", {"app": {"secrets": ["SENTRY_DSN"]}})
    script = f"""
        set -eu
        pulumi login file://{backend}
        pulumi stack init staging
        echo "https://key@sentry.example.com/1" | pulumi config set --secret SENTRY_DSN -s staging
        pulumi preview -s staging
    """
    env = {key: value for key, value in project.env.items() if key != "PULUMI_BACKEND_URL"}
    env |= {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase), "PULUMI_CREDENTIALS_PATH": str(tmp_path / "credentials")}
    done = subprocess.run(["sh", "-c", script], cwd=project.folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lamp-staging" in done.stdout
    assert "sentry.example.com" not in done.stdout + done.stderr
    assert (backend / ".pulumi").is_dir()


def test_two_people_can_each_make_a_stack_of_the_same_file_because_it_carries_no_salt(
    project: Project, stock: dict[str, str], tmp_path: Path
) -> None:
    project.init("staging")
    other = Project(tmp_path / "other", stock)
    Path(other.env["PULUMI_CONFIG_PASSPHRASE_FILE"]).write_text("quite another passphrase")
    other.init("staging")


def test_nothing_of_the_program_reads_the_environment_of_sy(project: Project) -> None:
    assert not [name for name in project.env if name.startswith("SWITCHYARD")]
    assert "sy" not in [path.name for path in project.folder.iterdir()]
    project.init("staging")
    assert project.preview("staging").code == 0
