"""Notebooks here are compared, not run: cell by cell, the smoke copy with the stored outputs.

The comparison is nbval's, of the cells tagged ``nbval-check-output``. The copies are those of
``semirobust run --all --profile smoke``, in which every cell ran: ``make notebooks`` does both.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from book._ext import executed, execution, notebooks

MEND = "run `semirobust run --all --profile smoke`, or both with `make notebooks`"


class Compared(IPyNbFile):
    """A notebook whose copy stands for its kernel."""

    def setup(self) -> None:
        self.setup_sanitize_files()
        notebook = notebooks.find(self.path)
        if execution.plan(notebook, "smoke").current() is None:
            pytest.fail(f"{notebook.name} has no current smoke run: {MEND}", pytrace=False)
        copy = notebooks.read(executed.kept(notebook, "smoke")[0])
        self.ran = notebooks.merge(self.nb, copy)

    def collect(self) -> Iterator["ComparedCell"]:
        self.compare_outputs = False  # of cells without a tag, timings among them
        for cell in super().collect():
            yield ComparedCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )


class ComparedCell(IPyNbCell):
    """A cell that has run: its outputs must be those that git keeps, where they are checked."""

    def runtest(self) -> None:
        ran = [cell for cell in self.parent.ran.cells if cell.cell_type == "code"][self.cell_num]
        if self.options["check"] and not self.compare_outputs(ran.outputs, self.cell.outputs):
            self.raise_cell_error("Cell outputs differ", "\n".join(self.comparison_traceback))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Compared | None:
    if file_path.suffix == ".ipynb":
        return Compared.from_parent(parent, path=file_path)
    return None
