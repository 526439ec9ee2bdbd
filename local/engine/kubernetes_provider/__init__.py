"""The Kubernetes provider for the local stack, where Pulumi's own plugin cannot be had."""
