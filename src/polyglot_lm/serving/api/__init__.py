"""The OpenAI-compatible HTTP interface: what goes in and out (`schema`), how it is answered (`routes`, `answer`)."""
