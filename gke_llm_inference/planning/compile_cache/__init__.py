"""What vLLM compiled: whether a pod finds it, where it is kept, and what that asks for."""
