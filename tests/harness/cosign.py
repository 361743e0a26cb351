"""Signs and verifies artifacts of a registry by a key, with cosign, offline: no transparency log, no authority."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.go_program import go_program

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 120
NO_SERVICES = ("fulcio", "oidc", "rekor", "tsa")


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair in a folder of its own. Raises subprocess.CalledProcessError if cosign fails."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Key:
        folder.mkdir()
        key = cls(folder)
        key.run("generate-key-pair")
        without = [f"--no-default-{service}" for service in NO_SERVICES]
        key.run("signing-config", "create", *without, "--out", "offline.json")
        return key

    @property
    def public(self) -> Path:
        return self.folder / "cosign.pub"

    def sign(self, artifact: str) -> None:
        """Sign an artifact, REGISTRY/NAME@DIGEST. The signature becomes a referrer of the artifact."""
        options = ("--yes", "--key", "cosign.key", "--signing-config", "offline.json", "--allow-http-registry")
        self.run("sign", *options, artifact)

    def verify(self, artifact: str) -> None:
        """Raises subprocess.CalledProcessError if the artifact has no signature by this key."""
        self.run("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry", artifact)

    def run(self, *arguments: str) -> None:
        environment = {"COSIGN_PASSWORD": "", "HOME": str(self.folder), "HTTPS_PROXY": "http://127.0.0.1:1"}
        command = [str(go_program("flux/cosign")), *arguments]
        subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
