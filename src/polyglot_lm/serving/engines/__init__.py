"""What continues a prompt: one small interface, `engine.Engine`, and its kinds."""
