"""Disks that fail, power that goes, processes that die: what the store promises, held to it call by call."""
