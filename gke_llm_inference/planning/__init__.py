"""Pure decisions: settings and catalog in, a frozen plan out. Needs neither Pulumi nor a cloud."""

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.planning.access.plan import (
    AccessPlan,
    AllowedRoute,
    ApiKeyPlan,
    CertificatePlan,
    GatewayPlan,
    PickerPlan,
    RateLimitPlan,
    ServerAccess,
)
from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan, MetricsAdapterPlan
from gke_llm_inference.planning.boot_disks.plan import AllowlistPlan
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan, ComputeClassPlan, TierPlan
from gke_llm_inference.planning.compile_cache.plan import CacheBucket, CacheDisk, CompileCachePlan
from gke_llm_inference.planning.image_registry.plan import ImageRegistryPlan, RepositoryPlan
from gke_llm_inference.planning.model_source.plan import (
    BucketCaches,
    DiskPlan,
    FuseVolume,
    ModelSourcePlan,
    TransferNodes,
)
from gke_llm_inference.planning.model_source.source import ModelSource
from gke_llm_inference.planning.model_store.plan import (
    BucketPlan,
    CopierPlan,
    ModelCopy,
    ModelStorePlan,
    StoredModel,
    StoreReader,
)
from gke_llm_inference.planning.observability.plan import (
    AlertPlan,
    Condition,
    MetricsPlan,
    NotWatched,
    ObservabilityPlan,
)
from gke_llm_inference.planning.plan import (
    AdapterPlan,
    ClusterPlan,
    NodePoolPlan,
    PodResources,
    ProbePlan,
    RolloutPlan,
    ServerPlan,
    ShutdownPlan,
    StackPlan,
    TokenPlan,
    Toleration,
)
from gke_llm_inference.planning.stack import StackIdentity, plan_stack

__all__ = [
    "AccessPlan",
    "AdapterPlan",
    "AlertPlan",
    "AllowedRoute",
    "AllowlistPlan",
    "ApiKeyPlan",
    "AutoscalingPlan",
    "BucketCaches",
    "BucketPlan",
    "CacheBucket",
    "CacheDisk",
    "CapacityPlan",
    "Catalog",
    "CertificatePlan",
    "ClusterPlan",
    "CompileCachePlan",
    "ComputeClassPlan",
    "Condition",
    "CopierPlan",
    "DiskPlan",
    "FuseVolume",
    "GatewayPlan",
    "ImageRegistryPlan",
    "MetricsAdapterPlan",
    "MetricsPlan",
    "ModelCopy",
    "ModelSource",
    "ModelSourcePlan",
    "ModelStorePlan",
    "NodePoolPlan",
    "NotWatched",
    "ObservabilityPlan",
    "PickerPlan",
    "PodResources",
    "ProbePlan",
    "RateLimitPlan",
    "RepositoryPlan",
    "RolloutPlan",
    "ServerAccess",
    "ServerPlan",
    "ShutdownPlan",
    "StackIdentity",
    "StackPlan",
    "StoreReader",
    "StoredModel",
    "TierPlan",
    "TokenPlan",
    "Toleration",
    "TransferNodes",
    "load_catalog",
    "plan_stack",
]
