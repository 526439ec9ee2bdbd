"""Offline preview: runs a Pulumi program against a recording resource monitor.

No cloud, no credentials, no Pulumi CLI and no provider plugins take part. `preview.run.record` is the
way in for other Python code; `python -m gke_llm_inference preview` is the way in for people.
"""
