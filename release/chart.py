"""Packages the Helm chart of a release: the chart of the checkout, with the images of the release by digest.

The registry goes into values.yaml and the digests go into Chart.yaml: chart/templates/_helpers.tpl says why. `helm
package` would make such an archive too, but the archive would have the times of the files. Here every time is the
release's, so that the same files give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import yaml

from docs.chart.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME = "region-tick"


def chart_package(checkout: Path, registry: str, digests: Mapping[str, str], *, timestamp: int) -> bytes:
    """Return the chart of `checkout` as an archive that `helm install` and `helm push` take.

    `digests` has the digest of each image by the name that the manifests have, for example `region-tick/operator`.
    `timestamp` is in seconds since 1970. Raises MissingPlaceError if values.yaml has no such image.
    """
    folder = checkout / "chart"
    texts = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
    values = Manifest("chart/values.yaml", texts["values.yaml"])
    names = {repository: repository.removeprefix(f"{_NAME}/") for repository in digests}
    texts["values.yaml"] = values.edited(
        [values.replace(f"{name}.image.repository", f"{registry}/{repository}") for repository, name in names.items()]
    )
    annotations = {f"region-tick.dev/{names[repository]}-digest": digest for repository, digest in digests.items()}
    texts["Chart.yaml"] += yaml.safe_dump({"annotations": annotations})
    return _archive(texts, timestamp)


def _archive(texts: Mapping[str, str], timestamp: int) -> bytes:
    archive = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=archive, mtime=timestamp) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as files,
    ):
        for path, text in texts.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{_NAME}/{path}")
            member.size, member.mtime = len(content), timestamp
            files.addfile(member, io.BytesIO(content))
    return archive.getvalue()
