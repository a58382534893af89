"""The page people try: prompt, streaming text, tokens, what the guard did, the model's card; and the Space that shows it."""
