"""A command's parameters → its --help: one list for each group, every name whole at any width."""

from typing import Any

from typer.core import TyperCommand


class GroupedHelp(TyperCommand):
    """A command whose help keeps the groups, which typer has in tables of rich alone.

    Such a table has a column each for types and for the names of `--no-…`, and cuts them.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options under the title of their group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            title = getattr(param, "rich_help_panel", None) or f"{param.param_type_name.title()}s"
            if record := param.get_help_record(ctx):
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first paragraph, whole: the list of commands wraps it."""
        del limit
        return " ".join((self.help or "").partition("\n\n")[0].split())
