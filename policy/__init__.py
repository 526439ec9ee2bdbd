"""Policies of a stack: one implementation, run by `pulumi preview --policy-pack policy` and on an offline preview.

`python policy/` is the pack that the Pulumi CLI starts; `python -m preview --policy` is the other way.
"""
