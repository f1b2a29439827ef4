"""Reports as HTML for people: of one study, and of a cohort.

A step says what it shows in values of `CMRLib.export.report.items`; the templates in ``Resources/Report`` draw them.
"""
