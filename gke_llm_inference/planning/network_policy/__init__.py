"""Network policies: flows as data, and the policies that allow exactly these."""
