"""Simulated short-axis imaging: anatomy, tissue, signal heart beat by heart beat, motion, acquisition, and DICOM files.

Here belongs what makes images whose truth is known, for the demo, tests, training and evaluation. What one network's
training alone needs lies in its module's ``research``; nothing that an analyst's images go through may need this.
"""

from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.simulation.anatomy import ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.labelled_anatomy import LabelledAnatomy, labelled_images
from CMRLib.simulation.phantom import simulate_phantom
from CMRLib.simulation.schedule import molli_inversion_times, schedule, shmolli_inversion_times
from CMRLib.simulation.signal import simulate_pixels
from CMRLib.simulation.study import SimulatedAcquisition, SimulatedStudy, simulate_study

__all__ = [
    "LabelledAnatomy",
    "SliceLandmarks",
    "ParametricAnatomy",
    "SimulatedAcquisition",
    "SimulatedStudy",
    "SliceAnatomy",
    "labelled_images",
    "molli_inversion_times",
    "schedule",
    "shmolli_inversion_times",
    "simulate_phantom",
    "simulate_pixels",
    "simulate_study",
]
