"""What the engine is measured beside: each way to isolate a test, in a process of its own."""
