#!/usr/bin/env python3
"""Copy the rows of Slicer's name table that the host uses into ``names.json``.

    update_names.py FULL_TABLE.json

The full table lists the properties, signals, slots and invokables that a real Slicer shows to Python, class by class,
and the functions and classes of its Python packages. The host carries only the classes named below, with their bases.
A panel that needs another class adds its name here; without a row the class does not exist in the host.
"""

import json
import sys
from pathlib import Path


def words(text):
    """The words of a text."""
    return text.split()


QT_CLASSES = words("""
QAbstractItemView QAction QApplication QBoxLayout QButtonGroup QCheckBox QComboBox QDialog QDialogButtonBox
QDoubleSpinBox QFile QFormLayout QFrame QGridLayout QGroupBox QHBoxLayout QHeaderView QItemSelectionModel QLabel
QLayout QLineEdit QListWidget QMainWindow QMenu QMessageBox QPlainTextEdit QProgressBar QProgressDialog QPushButton
QRadioButton QScrollArea QSettings QShortcut QSlider QSpinBox QSplitter QStackedWidget QTabWidget QTableView
QTableWidget QTextBrowser QTextEdit QTimer QToolButton QVBoxLayout QWidget
""")

CTK_CLASSES = words("""
ctkCollapsibleButton ctkComboBox ctkMessageBox ctkSliderWidget
""")

SLICER_CLASSES = words("""
qMRMLLayoutManager qMRMLNodeComboBox qMRMLPlotView qMRMLPlotWidget qMRMLSegmentEditorWidget qMRMLSliceView
qMRMLSliceWidget qMRMLTableView qMRMLTableWidget qMRMLWidget qSlicerApplication qSlicerIOManager qSlicerLayoutManager
qSlicerLoadableModule qSlicerMainWindow qSlicerModuleFactoryManager qSlicerModuleManager qSlicerModuleSelectorToolBar
qSlicerScriptedLoadableModule qSlicerScriptedLoadableModuleWidget qSlicerSequencesModule
""")

PYTHON_MODULES = words("""
slicer.ScriptedLoadableModule slicer.i18n slicer.packaging slicer.parameterNodeWrapper.default
slicer.parameterNodeWrapper.validators slicer.parameterNodeWrapper.wrapper Modules/Scripted/DICOMLib/DICOMPlugin
""")


def rows_in_use(classes, names):
    """The named classes and every base class that the full table knows, as a table of the same form."""
    rows, todo = {}, list(names)
    while todo:
        name = todo.pop()
        if name in rows or name not in classes:
            continue
        rows[name] = classes[name]
        todo += classes[name].get("bases", [])
    return rows


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    full = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wanted = QT_CLASSES + CTK_CLASSES + SLICER_CLASSES
    rows = rows_in_use(full["classes"], wanted)
    unknown = [name for name in CTK_CLASSES + SLICER_CLASSES if name not in rows]
    if unknown:
        sys.exit(f"Not in the full table: {', '.join(unknown)}")
    for name in QT_CLASSES:  # a Qt class without properties and signals of its own has no row in the full table
        rows.setdefault(name, {"where": "Qt"})
    rows["QVTKWidget"] = {"bases": ["QWidget"], "where": "VTK"}  # VTK's own widget is not in the full table
    owners = set(rows) | {f"python {name}" for name in PYTHON_MODULES}
    table = {
        "version": full["version"],
        "not_in_5.10": {owner: names for owner, names in full["not_in_5.10"].items() if owner in owners},
        "python": {name: full["python"][name] for name in PYTHON_MODULES},
        "classes": rows,
    }
    target = Path(__file__).with_name("names.json")
    target.write_text(to_text(table), encoding="utf-8")
    print(f"{target}: {len(rows)} classes, {len(PYTHON_MODULES)} Python modules")


def to_text(table):
    """JSON with one line per class or module, so that a change of one class is a change of one line."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines = [f"  {json.dumps(k)}: {json.dumps(value[k], sort_keys=True)}" for k in sorted(value)]
            parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
