"""Stand-in servers for the pods of a control plane, and a proxy that follows its EndpointSlices."""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

from gke_llm_inference.planning import ServerPlan, ShutdownPlan
from gke_llm_inference.planning.pod.names import API_KEYS_VOLUME
from tests.cluster.support import NAMESPACE, Cluster, client
from tests.drain.stand_in import StandIn, end, stand_in
from tests.drain.traffic import HealthChecks, Proxy

_LOOK_SECONDS = 0.05


class Follower:
    """Gives every ready pod of a server a stand-in, which ends as the pod does, and tells a proxy the endpoints.

    Deployments, EndpointSlices, evictions and budgets are those of the control plane. The kubelet's part in the end of
    a pod, that is preStop, SIGTERM and the kill, is played here by what the manifest of the pod says; so is its start,
    when a container gets its variables and files from Secrets as they are then.

    Attributes:
        servers: the stand-in of each pod that was ready, by the pod's uid.
        names: the name of each of these pods, by its uid.
        keys: the API keys that each pod read when it started, in the order of their starts.
        ready: uids of the pods that are endpoints now, whatever the proxy knows yet.
        proxy: what sends requests to them.

    """

    def __init__(
        self,
        cluster: Cluster,
        plan: ServerPlan,
        *,
        delay: float,
        speed: float,
        sleep: int | None = None,
        checks: HealthChecks | None = None,
    ) -> None:
        self._plan, self._speed, self._sleep, self._checks = plan, speed, sleep, checks
        self._times: dict[str, ShutdownPlan] = {}
        self._core, self._discovery = cluster.core, client.DiscoveryV1Api(cluster.api)
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._deleted: dict[str, float] = {}
        self._stopped = asyncio.Event()
        self.ready: tuple[str, ...] = ()
        self.servers: dict[str, StandIn] = {}
        self.names: dict[str, str] = {}
        self.keys: dict[str, set[str]] = {}
        self.proxy = Proxy((), delay / speed)

    async def __aenter__(self) -> "Follower":
        self._follows = asyncio.ensure_future(self._follow())
        self._asks = asyncio.ensure_future(self.proxy.check(self._checks)) if self._checks else None
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        await self._follows
        for task in (*self._ending.values(), *([self._asks] if self._asks else [])):
            task.cancel()

    async def has_endpoints(self, count: int) -> None:
        """Wait until the proxy knows so many endpoints."""
        while len(self.proxy.endpoints) != count:
            if self._follows.done():
                await self._follows
            await asyncio.sleep(_LOOK_SECONDS)

    async def all_ended(self) -> None:
        """Wait until every pod that was deleted has ended."""
        await asyncio.gather(*self._ending.values())

    async def _follow(self) -> None:
        while not self._stopped.is_set():
            pods, slices = await asyncio.to_thread(self._look)
            for pod in pods:
                uid = pod.metadata.uid
                # Those of an earlier test may be on their way out.
                if uid not in self.keys and pod.status.phase == "Running" and not pod.metadata.deletion_timestamp:
                    self.keys[uid] = await asyncio.to_thread(self._read_keys, pod)
            self._play(pods)
            ready = tuple(
                sorted(
                    endpoint.target_ref.uid
                    for one in slices
                    for endpoint in one.endpoints or ()
                    if endpoint.conditions.ready and endpoint.target_ref.uid in self.servers
                )
            )
            if ready != self.ready:
                ago = self._seconds_since(set(self.ready) - set(ready)) if set(ready) < set(self.ready) else 0.0
                self.ready = ready
                self.proxy.follow([self.servers[uid] for uid in ready], ago)
            await asyncio.sleep(_LOOK_SECONDS)

    def _seconds_since(self, gone: set[str]) -> float:
        """How long ago the last of some endpoints began to end, 0 if one has not.

        The delay of the proxy stands for all that it takes from there. What the control plane's part of it takes on
        this machine while others use it is no more than that.
        """
        now = asyncio.get_running_loop().time()
        return min((now - self._deleted.get(uid, now) for uid in gone), default=0.0)

    def _look(self) -> tuple[list[Any], list[Any]]:
        selector = ",".join(f"{key}={value}" for key, value in sorted(self._plan.selector.items()))
        pods = self._core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        slices = self._discovery.list_namespaced_endpoint_slice(
            NAMESPACE, label_selector=f"kubernetes.io/service-name={self._plan.name}"
        ).items
        return pods, slices

    def _read_keys(self, pod: Any) -> set[str]:
        """The keys that a container gets when it starts, from a variable or a file that its Secret gives it."""
        keys, (container,) = self._plan.api_keys, pod.spec.containers
        if keys is None:
            return set()
        files = [one.secret.items[0] for one in pod.spec.volumes or () if one.name == API_KEYS_VOLUME]
        variables = [
            one.value_from.secret_key_ref for one in container.env or () if one.name in ("VLLM_API_KEY", "API_KEY")
        ]
        ((key,),) = [[one.key for one in (*files, *variables)]]
        text = base64.b64decode(self._core.read_namespaced_secret(keys.secret_name, NAMESPACE).data[key]).decode()
        if not files:
            return {text}
        # vLLM reads the file as it reads its arguments, and never again.
        (mount,) = [one for one in container.volume_mounts if one.name == API_KEYS_VOLUME]
        assert container.args[container.args.index("--config") + 1] == f"{mount.mount_path}/{files[0].path}"
        return set(json.loads(text)["api-key"])

    def _play(self, pods: list[Any]) -> None:
        known = {pod.metadata.uid: pod for pod in pods}
        for uid, pod in known.items():
            if (
                uid in self.keys
                and uid not in self.servers
                and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
            ):
                times = _times_of(pod, self._plan.shutdown)
                self._times[uid] = times if self._sleep is None else replace(times, sleep_seconds=self._sleep)
                self.names[uid] = pod.metadata.name
                self.servers[uid] = stand_in(times, self._speed, self.keys[uid])
        for uid, server in self.servers.items():
            deleted = uid not in known or known[uid].metadata.deletion_timestamp is not None
            if deleted and uid not in self._ending:
                self._deleted[uid] = asyncio.get_running_loop().time()
                self._ending[uid] = asyncio.ensure_future(end(server, self._times[uid], speed=self._speed))


def _times_of(pod: Any, planned: ShutdownPlan) -> ShutdownPlan:
    """How a pod ends by what the control plane holds of it."""
    (container,) = pod.spec.containers
    given = [text.partition("=")[2] for text in container.args if "-timeout=" in text]
    return replace(
        planned,
        sleep_seconds=container.lifecycle.pre_stop.sleep.seconds,
        timeout_seconds=int(given[0]) if given else 0,
        grace_seconds=pod.spec.termination_grace_period_seconds,
    )
