"""Profilers of any torch model: parameters, multiply-adds and FLOPs, memory, time, energy.

Each file stands alone. None of them changes what it measures: weights, gradients, buffers, the modes
of modules and torch's random streams are left bit for bit as they would be without it.
"""
