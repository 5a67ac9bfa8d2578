"""The nine focal positions of learn2refocus: 0 is focused at about 5 cm, 8 at infinity, even in dioptres between."""
from ..optics import RefocusError

POSITIONS = 9
NEAREST_M = 0.05


def check_position(position: int) -> int:
    """0..8 as it is, anything else raises RefocusError."""
    if position not in range(POSITIONS):
        raise RefocusError(f"the input position is {position}, but a whole number from 0 (nearest, about 5 cm) to "
                           f"{POSITIONS - 1} (infinity) is needed.")
    return int(position)


def dioptres_at(position: float) -> float:
    """Position 0..8 -> focus in dioptres (1/m): 20 .. 0."""
    return (1 - position / (POSITIONS - 1)) / NEAREST_M


def position_at(dioptres: float) -> float:
    """Focus in dioptres (1/m) -> position, a fraction in 0..8; nearer than 5 cm is 0."""
    return (POSITIONS - 1) * (1 - min(max(dioptres * NEAREST_M, 0.0), 1.0))
