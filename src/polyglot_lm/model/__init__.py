"""The GPT-NeoX model: shapes, network, Hugging Face names, scoring and generation."""
