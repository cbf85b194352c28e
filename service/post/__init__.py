"""What is made of scores as they come, step by step: they are smoothed, actions begin and end, cycles are counted.

A `Chain` is a row of processors, each with a name and parameters; a text such as `ema:tau_s=0.8,hysteresis:on=0.6`
names them. It is the same for the steps of a clip and for a stream without an end, knows nothing of video or of models,
and holds a bounded state that can be moved to another process.
"""
