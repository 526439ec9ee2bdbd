"""Policies of a stack, run by `pulumi preview --policy-pack policy-pack` and on an offline preview.

`policy-pack/` is what the Pulumi CLI starts; `gke-llm-inference policy` is the other way.
"""
