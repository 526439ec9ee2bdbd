"""Whether the pods of one environment have no more rights, secrets and strangers in them than those of another."""

from collections.abc import Iterator

from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.servers import ServerSettings
from gke_llm_inference.settings.stack import StackSettings


def pod_patches(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Patches of pods that the other stack does not have."""
    for key, ours, theirs in _same(settings, than):
        patch, known = ours.pod_patch, theirs.pod_patch
        if patch is None:
            continue
        if known is None or patch.patch != known.patch:
            yield Finding(
                path=f"servers.{key}.podPatch.patch",
                what=f"changes pods in {name} as it does not in {other}",
                why="no setting checks what a patch does, so that it is tried in another environment first",
                fix=f"use the patch of {other} in {name}, or try it in {other} first",
            )
        for index, path in enumerate(patch.overrides):
            if known is None or path not in known.overrides:
                yield Finding(
                    path=f"servers.{key}.podPatch.overrides[{index}]",
                    what=f"lets a patch override {path} in {name}, but not in {other}",
                    why="the plan decides on rights, images, probes and limits, and an override takes that away",
                    fix=f"remove it from {name}, or try it in {other} first",
                )


def pod_containers(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Containers beside and before a server that only this stack has, or that may write where the others may not."""
    for key, ours, theirs in _same(settings, than):
        known = {one.name: one for one in (*theirs.pod.containers, *theirs.pod.init_containers)}
        listed = [("containers", ours.pod.containers), ("initContainers", ours.pod.init_containers)]
        for where, index, one in ((where, index, one) for where, found in listed for index, one in enumerate(found)):
            path = f"servers.{key}.pod.{where}[{index}]"
            reference = known.get(one.name)
            if reference is None:
                yield Finding(
                    path=path,
                    what=f"{one.name} runs in the server's pods in {name}, but not in {other}",
                    why="a container of a pod shares its network, and sees the requests that reach the server",
                    fix=f"remove it from {name}, or try it in {other} first",
                )
            elif one.writable and not reference.writable:
                yield Finding(
                    path=f"{path}.writable",
                    what=f"is on in {name} and off in {other}",
                    why="who breaks into the container can keep programs there",
                    fix=f"remove writable: true from {name}",
                )


def pod_secrets(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Secrets that only this stack's servers can read."""
    for key, ours, theirs in _same(settings, than):
        known = {secret for _, secret in _secrets(theirs)}
        for where, secret in _secrets(ours):
            if secret not in known:
                yield Finding(
                    path=f"servers.{key}.pod.{where}",
                    what=f"gives the server the Secret {secret} in {name}, but not in {other}",
                    why="who breaks into the server can read every Secret that its pods get",
                    fix=f"remove it from {name}, or try it in {other} first",
                )


def runtime_class(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """RuntimeClasses, such as a sandbox, that only the other stack has."""
    for key, ours, theirs in _same(settings, than):
        if theirs.pod.runtime_class is not None and ours.pod.runtime_class != theirs.pod.runtime_class:
            yield Finding(
                path=f"servers.{key}.pod.runtimeClass",
                what=f"is {theirs.pod.runtime_class} in {other}, but not in {name}",
                why="a runtime class such as gvisor keeps what a container does from the kernel of its node",
                fix=f"use the runtimeClass of {other} in {name}",
            )


def _secrets(server: ServerSettings) -> Iterator[tuple[str, str]]:
    """Where the pods of a server get which Secret."""
    pod = server.pod
    yield from ((f"env.{name}", one.secret) for name, one in sorted(pod.env.items()) if one.secret)
    yield from ((f"envFrom[{index}]", one.secret) for index, one in enumerate(pod.env_from) if one.secret)
    yield from ((f"volumes[{index}]", one.secret) for index, one in enumerate(pod.volumes) if one.secret)


def _same(settings: StackSettings, than: StackSettings) -> Iterator[tuple[str, ServerSettings, ServerSettings]]:
    """Servers that both stacks have, by name."""
    for key in sorted(settings.servers.keys() & than.servers.keys()):
        yield key, settings.servers[key], than.servers[key]
