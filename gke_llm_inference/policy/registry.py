"""All policies, sorted by name."""

from gke_llm_inference.policy.model import Policy
from gke_llm_inference.policy.rules.adapters import CLIENT_ADAPTERS
from gke_llm_inference.policy.rules.alerts import SERVER_ALERTS
from gke_llm_inference.policy.rules.allowed import ALLOWED_GPUS, ALLOWED_REGIONS, REQUIRED_LABELS
from gke_llm_inference.policy.rules.budget import GPU_BUDGET
from gke_llm_inference.policy.rules.clusters import (
    BASIC_ROLES,
    CONTROL_PLANE_ACCESS,
    DELETION_PROTECTION,
    GPU_POOL_MAXIMUM,
    NODE_IDENTITY,
    PRIVATE_NODES,
)
from gke_llm_inference.policy.rules.exposure import (
    ALLOWED_EXPOSURES,
    AUTHENTICATED_ENTRY,
    ENCRYPTED_ENTRY,
    INTERNAL_AUTHENTICATION,
)
from gke_llm_inference.policy.rules.images import IMAGE_DIGESTS, PINNED_IMAGES
from gke_llm_inference.policy.rules.models import MODEL_REVISIONS
from gke_llm_inference.policy.rules.network import NETWORK_POLICIES
from gke_llm_inference.policy.rules.overrides import POD_OVERRIDES
from gke_llm_inference.policy.rules.servers import DISRUPTION_BUDGETS, GPU_LIMITS, PROBES, SERVER_IDENTITY
from gke_llm_inference.policy.rules.tokens import TOKEN_FROM_SECRET
from gke_llm_inference.policy.rules.vulnerabilities import KNOWN_VULNERABILITIES

POLICIES: tuple[Policy, ...] = (
    ALLOWED_EXPOSURES,
    ALLOWED_GPUS,
    ALLOWED_REGIONS,
    AUTHENTICATED_ENTRY,
    BASIC_ROLES,
    CLIENT_ADAPTERS,
    CONTROL_PLANE_ACCESS,
    DELETION_PROTECTION,
    DISRUPTION_BUDGETS,
    ENCRYPTED_ENTRY,
    GPU_BUDGET,
    GPU_LIMITS,
    GPU_POOL_MAXIMUM,
    IMAGE_DIGESTS,
    INTERNAL_AUTHENTICATION,
    KNOWN_VULNERABILITIES,
    MODEL_REVISIONS,
    NETWORK_POLICIES,
    NODE_IDENTITY,
    PINNED_IMAGES,
    POD_OVERRIDES,
    PRIVATE_NODES,
    PROBES,
    REQUIRED_LABELS,
    SERVER_ALERTS,
    SERVER_IDENTITY,
    TOKEN_FROM_SECRET,
)
"""Every policy that is checked; one that is added here gets a level in each file of `config/`."""
