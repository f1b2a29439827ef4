"""Stress T1 reactivity: a stress T1 map brought onto its rest map, and the change in percent (thesis, chapter 3)."""
