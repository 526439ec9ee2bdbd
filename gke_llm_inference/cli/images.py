"""The subcommand `images`: which images a stack runs, and the digests that it records for them."""

import json as json_format

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE
from gke_llm_inference.terminal import write


def images(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    record: options.Record = False,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """List the images of a stack's servers, and record their digests.

    A tag can be moved to another image; what is recorded under imageDigests is what runs. Registries are asked only
    with --record, which writes the stack's file. An image that comes through a repository of Artifact Registry has the
    digest, and the name under imageDigests, of where it comes from.
    """
    from gke_llm_inference.cli.record import record as record_in
    from gke_llm_inference.cli.registry import digest_of
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.planning import plan_stack
    from gke_llm_inference.planning.image_names import full_name

    selection = select(stack, config_file, project_dir)
    plan = plan_stack(selection.configuration().settings, selection.identity)
    by_image: dict[str, list[str]] = {}
    digests: dict[str, str] = {}
    pulled: dict[str, str] = {}
    run = [(server.key, reference) for server in plan.servers for reference in dict.fromkeys(server.images)]
    run += [("metricsAdapter", plan.metrics_adapter.image)] if plan.metrics_adapter else []
    copier = plan.model_store.copier if plan.model_store else None
    run += [("modelStore", copier.image)] if copier else []
    for name, reference in run:
        image, _, digest = (plan.image_registry.origin(reference) if plan.image_registry else reference).partition("@")
        pulled[image] = reference.partition("@")[0]
        by_image.setdefault(image, []).append(name)
        digests[image] = digest
    if record:
        recorded = set(map(full_name, selection.configuration().settings.image_digests))
        # What names its digest by itself is not looked up: somebody chose these very bytes.
        asked = [image for image in sorted(by_image) if not digests[image] or full_name(image) in recorded]
        digests |= record_in(selection, "imageDigests", asked, digest_of, "digest")
    rows = [
        {
            "image": image,
            "digest": digests[image] or None,
            "servers": by_image[image],
            "pulledAs": pulled[image],
        }
        for image in sorted(by_image)
    ]
    if json:
        write(json_format.dumps(rows, indent=2) + "\n")
    else:
        write("".join(_lines(image, digests[image], by_image[image], pulled[image]) for image in sorted(by_image)))
    return EXIT_FINE


def _lines(image: str, digest: str, servers: list[str], pulled: str) -> str:
    through = f"  pulled as {pulled}\n" if pulled != image else ""
    return f"{image}\n  {digest or 'no digest'}\n  {', '.join(servers)}\n{through}"
