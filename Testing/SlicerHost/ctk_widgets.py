"""The CTK widgets that the panels use, each a few lines over a Qt widget."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .stand_ins import StandIn, stand_in


@stand_in
class ctkCollapsibleButton(StandIn, QtWidgets.QAbstractButton):
    """A section of a panel with a header that hides or shows its contents."""

    def __init__(self, *arguments):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(*(a for a in arguments if not isinstance(a, str)))
        self._collapsed = False
        self._hidden_here = []
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda shown: self._set_collapsed(not shown))
        self.setContentsMargins(0, self._header_height(), 0, 0)

    @property
    def collapsed(self):
        return self._collapsed

    @collapsed.setter
    def collapsed(self, collapsed):
        self.setChecked(not collapsed)

    def _set_collapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        children = [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]
        if collapsed:
            self._hidden_here = [c for c in children if not c.isHidden()]
        for child in self._hidden_here:
            child.setVisible(not collapsed)
        self.setMaximumHeight(self._header_height() if collapsed else 16777215)
        self.fire("contentsCollapsed(bool)", collapsed)

    def _header_height(self):
        return self.fontMetrics().height() + 10

    def sizeHint(self):
        if self._collapsed or self.layout() is None:
            return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 40, self._header_height())
        return self.layout().totalSizeHint()

    def minimumSizeHint(self):
        return QtCore.QSize(0, self._header_height()) if self._collapsed else super().minimumSizeHint()

    def paintEvent(self, _event):
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        header = QtCore.QRect(0, 0, self.width(), self._header_height())
        option.rect = header
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        option.rect = header.adjusted(6, 6, -self.width() + 20, -6)
        element = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(
            element.PE_IndicatorArrowRight if self._collapsed else element.PE_IndicatorArrowDown, option
        )
        left = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter
        painter.drawText(header.adjusted(26, 0, 0, 0), int(left), self.text())
        if not self._collapsed:
            painter.setPen(QtGui.QPen(self.palette().mid().color()))
            painter.drawRect(0, 0, self.width() - 1, self.height() - 1)


@stand_in
class ctkComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box with a text for when nothing is chosen."""

    @property
    def defaultText(self):
        return self.placeholderText()

    @defaultText.setter
    def defaultText(self, text):
        self.setPlaceholderText(text)


@stand_in
class ctkSliderWidget(StandIn, QtWidgets.QWidget):
    """A slider beside a spin box that share one value."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._spin.setRange(0, 100)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, 1000)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._spin)
        self._spin.valueChanged.connect(self._changed)
        self._slider.valueChanged.connect(self._slid)

    def _changed(self, value):
        span = self._spin.maximum() - self._spin.minimum() or 1.0
        self._slider.blockSignals(True)
        self._slider.setValue(round(1000 * (value - self._spin.minimum()) / span))
        self._slider.blockSignals(False)
        self.fire("valueIsChanging(double)", value)
        self.fire("valueChanged(double)", value)

    def _slid(self, position):
        self._spin.setValue(self._spin.minimum() + position / 1000 * (self._spin.maximum() - self._spin.minimum()))

    def setValue(self, value):
        self._spin.setValue(value)

    value = property(lambda self: self._spin.value(), setValue)
    minimum = property(lambda self: self._spin.minimum(), lambda self, value: self._spin.setMinimum(value))
    maximum = property(lambda self: self._spin.maximum(), lambda self, value: self._spin.setMaximum(value))
    singleStep = property(lambda self: self._spin.singleStep(), lambda self, value: self._spin.setSingleStep(value))
    decimals = property(lambda self: self._spin.decimals(), lambda self, value: self._spin.setDecimals(value))
    suffix = property(lambda self: self._spin.suffix(), lambda self, value: self._spin.setSuffix(value))


@stand_in
class ctkMessageBox(StandIn, QtWidgets.QMessageBox):
    """A message box that can remember not to be shown again."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.dontShowAgainSettingsKey = ""
        self.dontShowAgainVisible = False
