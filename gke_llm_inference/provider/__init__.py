"""The component provider: whole stacks and single servers for programs in every language that Pulumi has.

`provider/` at the top of the repository is what the engine starts. Its schema comes from the settings models, and its
errors are those of the settings, each at its property.
"""
