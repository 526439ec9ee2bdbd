"""Custom resources wait until their cluster serves their API.

GKE installs the definitions of custom resources some time after it has made a cluster. Pulumi's Kubernetes provider
gives up on an unknown kind after a minute, so a first deployment would fail. What is waited for is asked of the API
server itself, in an update and never in a preview, and nothing else of the cluster is.
"""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pulumi

from gke_llm_inference.settings import Finding

from .api_server import ApiServer, NoAnswerError, RefusedError

T = TypeVar("T")
FIRST_PAUSE_SECONDS = 1.0
"""Between the first two questions; each further pause is half as long again."""
LONGEST_PAUSE_SECONDS = 15.0
"""Between any two questions."""
_PROGRESS_SECONDS = 30


class ServedApis:
    """Which APIs of custom resources a cluster serves; one for all custom resources of a program on a cluster."""

    def __init__(
        self,
        kubeconfig: pulumi.Output[str] | None = None,
        *,
        context: str | None = None,
        limits: Mapping[str, int],
        resource: pulumi.Resource | None = None,
    ) -> None:
        """Register nothing and ask nothing yet.

        Args:
            kubeconfig: kubeconfig of the cluster; None for a context of this machine's.
            context: that context; the current one if None.
            limits: seconds to wait by API group; those under an empty name hold for every other group.
            resource: what messages about progress belong to.

        """
        self._kubeconfig, self._context = kubeconfig, context
        self._limits = limits
        self._resource = resource
        self._waits: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._server: ApiServer | None = None
        # Not the SDK's threads: every registration that is not answered yet holds one of those.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="served-apis")

    def once_served(self, api_version: str, kind: str, value: T) -> pulumi.Input[T]:
        """The value, once the cluster serves a kind; make an input of the custom resource of it.

        In a preview it is the value itself, so that the preview shows the resource as it will be. In an update the
        resource is registered when the kind is served. The value depends on no other resource.

        Raises:
            pulumi.RunError: later, where the value is used: the kind was not served in time, or cannot be asked for.

        """
        if pulumi.runtime.is_dry_run():
            return value

        async def later() -> T:
            await asyncio.shield(self._served(api_version, kind))
            return value

        return pulumi.Output.from_input(later())

    def _served(self, api_version: str, kind: str) -> "asyncio.Future[None]":
        asked = (api_version, kind)
        if asked not in self._waits:
            self._waits[asked] = asyncio.ensure_future(self._wait(api_version, kind))
        return self._waits[asked]

    async def _wait(self, api_version: str, kind: str) -> None:
        limit = self._limit(api_version)
        start = time.monotonic()
        told = start - _PROGRESS_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                if await self._asked(api_version, kind):
                    break
                state = "it is not served yet"
            except NoAnswerError as error:
                state = str(error)
            except RefusedError as error:
                raise _failure(api_version, kind, error.what, error.why, error.fix) from None
            now = time.monotonic()
            waited = now - start
            if waited >= limit:
                raise _failure(
                    api_version,
                    kind,
                    f"{state}, after {limit} s",
                    "GKE installs the definitions of custom resources some time after it has made a cluster, and "
                    "those of the Gateway API only where its channel is on",
                    "run `pulumi up` again, which continues; if it stays so, see docs/access.md",
                )
            if now - told >= _PROGRESS_SECONDS:
                told = now
                pulumi.log.info(
                    f"waiting for {kind} of {api_version}: {state} ({waited:.0f} s of at most {limit} s)",
                    self._resource,
                )
            await asyncio.sleep(min(pause, limit - waited))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        if told >= start:
            pulumi.log.info(
                f"{kind} of {api_version} is served, after {time.monotonic() - start:.0f} s", self._resource
            )

    def _limit(self, api_version: str) -> int:
        """Seconds to wait for an API."""
        return self._limits.get(api_version.partition("/")[0], self._limits.get("", 0))

    async def _asked(self, api_version: str, kind: str) -> bool:
        kubeconfig = await self._kubeconfig.future() if self._kubeconfig is not None else None
        if self._kubeconfig is not None and kubeconfig is None:
            raise RefusedError(
                "the kubeconfig of the cluster is not known",
                "what it is made of is left out of this update",
                "run `pulumi up` without --target and --exclude",
            )

        def ask() -> bool:
            if self._server is None:
                self._server = (
                    ApiServer.of_kubeconfig(kubeconfig)
                    if kubeconfig is not None
                    else ApiServer.of_context(self._context)
                )
            return self._server.serves(api_version, kind)

        return await asyncio.get_running_loop().run_in_executor(self._thread, ask)


def _failure(api_version: str, kind: str, what: str, why: str, fix: str) -> pulumi.RunError:
    """What Pulumi shows; a finding masks what looks like a secret."""
    return pulumi.RunError(str(Finding(path=f"{kind} of {api_version}", what=what, why=why, fix=fix)))
