"""Who the user is, to be kept beside what the user does. Self-declared: nobody checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubectl_region.errors import PluginError

if TYPE_CHECKING:
    from kubectl_region.kubectl import Kubectl


def who_am_i(kubectl: Kubectl) -> str:
    """Return the user as the API server knows the user, or else the local user."""
    try:
        name = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    except PluginError:  # an older API server, or no right to ask
        name = ""
    if name:
        return name
    from getpass import getuser

    return getuser()
