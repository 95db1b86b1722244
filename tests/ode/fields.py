"""Fields whose solutions are known, or known well."""

from keras import ops


def nonlinear(t, y):
    """y' = −2 t y² and a partner that follows t: y = 1 / (1 + t²), z = sin t + 1, from (1, 1)."""
    first, second = y[..., 0], y[..., 1]
    return ops.stack([-2.0 * t * first**2, ops.cos(t) + 0.0 * second], axis=-1)


def coupled(t, y, a=1.5, b=1.0, c=0.3):
    """Prey and predator, driven a little by the time."""
    prey, predator = y[..., 0], y[..., 1]
    return ops.stack([prey * (a - b * predator) + c * ops.sin(t), predator * (b * prey - a)], axis=-1)
