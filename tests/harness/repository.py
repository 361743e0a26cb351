"""Makes Git repositories, in folders of a test, for the GitOps tools that follow them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from devcluster import debian
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

BRANCH = "main"
GIT_SECONDS = 60
_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Repository:
    """A Git repository with one branch, whose files a test changes in its folder."""

    def __init__(self, folder: Path) -> None:
        debian.ensure(debian.GITOPS)
        self.folder = folder
        folder.mkdir()
        self._git("init", "--quiet", f"--initial-branch={BRANCH}")

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def take(self, *names: str) -> None:
        """Copy files or folders of this project, by their paths in the checkout. Links stay links."""
        for name in names:
            source, target = CHECKOUT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy(source, target)

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text in a file. The text must be there."""
        file = self.folder / name
        text = file.read_text()
        assert before in text, f"{name} has no {before!r}"
        file.write_text(text.replace(before, after))

    def commit(self, message: str) -> str:
        """Commit the folder as it is. Return the commit's name."""
        self._git("add", "--all")
        author = ("-c", "user.name=A person", "-c", "user.email=person@example.com")
        self._git(*author, "commit", "--quiet", f"--message={message}")
        return self._git("rev-parse", "HEAD").strip()

    def revert(self) -> str:
        """Take the last commit back, by a commit. Return the new commit's name."""
        self._git("checkout", "--quiet", "HEAD~1", "--", ".")
        added = self._git("diff", "--name-only", "--diff-filter=A", "HEAD~1", "HEAD").splitlines()
        for name in added:
            (self.folder / name).unlink()
        return self.commit("Take the last commit back")

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        environment = os.environ | _SETTINGS
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=GIT_SECONDS
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout
