"""The stack: settings → plan → components → exports."""

import pulumi

from components import create_stack, read_stack, settle

configured = read_stack()
stack = create_stack(configured.plan, token=configured.token, api_keys=configured.api_keys)
for name, value in stack.outputs.items():
    pulumi.export(name, value)

pulumi.run(settle)
