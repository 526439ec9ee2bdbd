"""`Pulumi.yaml` and the stacks' files, read as the CLI does: what a program sees as its configuration."""
