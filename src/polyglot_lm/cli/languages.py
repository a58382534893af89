"""The table of languages."""


def languages_command() -> None:
    """Show the table of languages."""
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.languages import languages

    table = Table("code", "key", "language", "", "family", "speakers", "unit", "byte premium", "supply", "English-eq.")
    for language in languages().values():
        table.add_row(
            language.code,
            f"{language.iso639_3}_{language.script}",
            language.name,
            language.english_name,
            language.family,
            f"{language.speakers_millions:,} M",
            language.writing_unit,
            f"{language.byte_premium:.3f}",
            f"{language.supply_bytes / 1e9:,.0f} GB",
            f"{language.supply_english_bytes / 1e9:,.0f} GB",
        )
    Console().print(table)
