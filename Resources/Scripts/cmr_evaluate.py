"""Measure what the software does and write it down: ``cmr-evaluate t1``, ``moco``, ``landmarks``, ``readme`` and more.

Each evaluation prints its tables and writes them, with the numbers behind them, as a JSON file; ``readme`` puts the
tables of those files into `Testing/Results/README.md`, and the key figures into the README, between their marks. Each
module brings its evaluations (see `CMRLib.training.commands`).

Exit status: 0 done, 1 the documents' tables are not those of the results, 2 usage or input, 3 a missing dependency or
weights file, 130 cancelled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    try:
        from CMRLib.training.commands import Subcommand, run_subcommand, subcommands
        from CMRLib.training.repository import RESULTS
    except ModuleNotFoundError as error:  # nothing of this software is installed
        print(f'{error.name} is not installed; run pip install "cmr-mapping[research]".', file=sys.stderr)
        return 3
    parser = argparse.ArgumentParser(prog="cmr-evaluate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result files")
    readme = Subcommand(
        "readme", "put the tables into the README and that of the results", _add_readme_options, _update_readme
    )
    return run_subcommand(
        parser,
        "EVALUATION",
        lambda: [*subcommands("EVALUATIONS"), readme],
        arguments,
        "Cancelled; what was finished is written. Run the same command again for the rest.",
    )


def _add_readme_options(parser: argparse.ArgumentParser) -> None:
    from CMRLib.training.repository import DOCUMENTS

    parser.add_argument("--readme", type=Path, nargs="+", default=DOCUMENTS, metavar="FILE", help="documents to fill")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a table is not up to date")


def _update_readme(options: argparse.Namespace) -> int:
    """Put every table into the documents where ``<!-- table NAME -->`` marks its place."""
    from CMRLib.commands import EXIT_DONE, EXIT_SOME_FAILED, stopped
    from CMRLib.files.atomic import write_text
    from CMRLib.training.repository import testing_module
    from CMRLib.training.tables import markdown_table, read_results_folder, tables_in, tables_of, with_tables

    results = read_results_folder(options.output)
    tables = tables_of(results)
    figures = testing_module("key_figures")
    with suppress(KeyError):  # of a result file that is not there
        tables["key-figures"] = markdown_table(figures.HEADER, figures.key_figures(results))
    status = EXIT_DONE
    for document in options.readme:
        text = document.read_text(encoding="utf-8")
        missing = [name for name in tables_in(text) if name not in tables]
        if missing:
            sentence = f"No file in {options.output} holds the table {missing[0]}; run its evaluation first."
            return stopped(sentence, EXIT_SOME_FAILED)
        filled = with_tables(text, tables)
        if filled != text and options.check:
            sentence = f"The tables of {document} are not those of the results; run cmr-evaluate readme."
            status = stopped(sentence, EXIT_SOME_FAILED)
        elif filled != text:
            write_text(document, filled)
    return status


if __name__ == "__main__":
    sys.exit(main())
