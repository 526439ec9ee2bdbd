"""All problems at once: what can still be planned of a configuration that is refused, and what is wrong with that."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.stack import StackIdentity, stack_problems
from gke_llm_inference.settings.findings import Refusal
from gke_llm_inference.settings.stack_config import RefusedConfiguration


def with_the_rest(refusal: Refusal, identity: StackIdentity, catalog: Catalog | None = None) -> Refusal:
    """The refusal of a configuration, with the problems of the servers that are not the reason for it.

    Args:
        refusal: why the configuration cannot be read.
        identity: which stack it is.
        catalog: the facts to decide by; those that ship with the package if absent.

    """
    if not isinstance(refusal, RefusedConfiguration) or refusal.remainder is None:
        return refusal
    remainder = refusal.remainder
    found = stack_problems(
        remainder.settings,
        identity,
        catalog,
        has_all_pools=remainder.has_all_pools,
        told=remainder.incomplete,
    )
    paths = {problem.path for problem in refusal.problems}
    certain = (problem for problem in found if remainder.is_certain(problem.path))
    more = (problem for problem in (*remainder.problems, *certain) if problem.path not in paths)
    return Refusal([*refusal.problems, *map(refusal.origins.located_finding, more)])
