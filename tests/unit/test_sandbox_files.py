"""Files that the sandbox's processes read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox.files import write


def test_nodes_that_start_together_may_write_the_file_that_they_share(tmp_path: Path) -> None:
    for number in range(50):
        path = tmp_path / str(number) / "resolv.conf"
        with ThreadPoolExecutor(8) as nodes:
            list(nodes.map(lambda _, path=path: write(path, "nothing resolves\n" * 500), range(8)))
        assert path.read_text() == "nothing resolves\n" * 500
        assert [one.name for one in path.parent.iterdir()] == ["resolv.conf"]
