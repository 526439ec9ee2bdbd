"""What the Pulumi SDK and engine say to each other: wire format, URNs, masked secrets, a program's environment."""
